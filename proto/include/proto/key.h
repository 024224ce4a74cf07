/* CURVE keys: pairs made, kept in files, and shown. Public keys are written in Z85, 40 characters.
 *
 * A key file is text, mode 0600, one pair; its lines are `name NAME`, `public KEY`, `secret KEY`
 * and comments that begin with "# ". Files that others than the owner may read are refused. */
#ifndef PROTO_KEY_H
#define PROTO_KEY_H

#include <base/bytes.h>
#include <base/error.h>

enum {
    KEY_LEN = 40,
    KEY_SIZE = KEY_LEN + 1,
    KEY_NAME_MAX = 64,     /* bytes of a key's name, without the NUL */
    FINGERPRINT_SIZE = 21, /* 20 hex digits and a NUL */
    KEY_FILE_MAX = 4096
};

struct key_pair {
    char name[KEY_NAME_MAX + 1];
    char public_key[KEY_SIZE], secret_key[KEY_SIZE];
};

/* 40 characters of Z85 that are a number. */
bool key_is_valid(struct bytes text);
/* 1 to KEY_NAME_MAX of a-z 0-9 - _ . and not a "." in front. */
bool key_name_is_valid(struct bytes name);
/* What a key is called where people compare it: 80 bits of its BLAKE2b hash, in hex. */
void key_fingerprint(const char *public_key, char out[FINGERPRINT_SIZE]);

enum error_code key_pair_make(const char *name, struct key_pair *out, struct error *err);
/* Of another key's text; false: it is not a secret key. */
bool key_public_of(const char *secret_key, char out[KEY_SIZE]);
/* Makes the file, synced. ERR_USAGE: it is there already. */
enum error_code key_pair_save(const struct key_pair *pair, const char *path, struct error *err);
enum error_code key_pair_load(const char *path, struct key_pair *out, struct error *err);
/* From memory, `path` is only named. ERR_CONFIG with path:line: and what was expected. */
enum error_code key_pair_parse(const char *path, struct bytes text, struct key_pair *out,
                               struct error *err);
/* Wipes the secret. */
void key_pair_wipe(struct key_pair *pair);

/* A small file as a whole, at most `max` bytes. */
enum error_code key_read_file(const char *path, size_t max, struct buf *out, struct error *err);

#endif
