/* A cluster's profile in the form that expected ones are compared in. */
#ifndef LOAD_VIEW_H
#define LOAD_VIEW_H

#include <gen/model.h>
#include <oneid/oneid.h>

/* `out` borrows from the profile. False: it holds more than a generated profile can. */
bool load_view_of(const struct oneid_profile *p, struct gen_view *out);

#endif
