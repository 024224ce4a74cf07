/* Runs a fuzz target over the files named on the command line: the corpus without libFuzzer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

static int replay(const char *path, uint8_t *data)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    size_t size = fread(data, 1, INPUT_MAX, f);
    int failed = ferror(f);
    fclose(f);
    if (failed) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return -1;
    }
    /* Exactly as large as the input, so that the address sanitizer sees a read past its end. */
    uint8_t *input = malloc(size ? size : 1);
    if (!input)
        return -1;
    for (size_t i = 0; i < size; i++)
        input[i] = data[i];
    LLVMFuzzerTestOneInput(input, size);
    free(input);
    return 0;
}

int main(int argc, char **argv)
{
    int rc = argc > 1 ? 0 : -1;
    uint8_t *data = malloc(INPUT_MAX);
    if (!data)
        return EXIT_FAILURE;
    for (int i = 1; i < argc && rc == 0; i++)
        rc = replay(argv[i], data);
    free(data);
    if (argc < 2)
        fprintf(stderr, "usage: %s file ...\n", argv[0]);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
