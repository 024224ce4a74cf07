#include <base/bytes.h>
