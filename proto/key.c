#include <proto/key.h>

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { RAW_KEY = 32, FINGERPRINT_BYTES = 10 };

bool key_is_valid(struct bytes text)
{
    static const char Z85[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^"
                              "!/*?&<>()[]{}@%$#";
    char copy[KEY_SIZE] = "";
    uint8_t raw[RAW_KEY];
    if (text.len != KEY_LEN || memchr(text.data, 0, text.len))
        return false;
    memcpy(copy, text.data, text.len);
    bool ok = strspn(copy, Z85) == KEY_LEN && zmq_z85_decode(raw, copy) != NULL;
    sodium_memzero(copy, sizeof copy);
    sodium_memzero(raw, sizeof raw);
    return ok;
}

bool key_name_is_valid(struct bytes name)
{
    static const char ALLOWED[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    if (name.len == 0 || name.len > KEY_NAME_MAX || name.data[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == 0 || !strchr(ALLOWED, name.data[i]))
            return false;
    }
    return true;
}

void key_fingerprint(const char *public_key, char out[FINGERPRINT_SIZE])
{
    uint8_t raw[RAW_KEY] = {0}, hash[crypto_generichash_BYTES];
    (void)zmq_z85_decode(raw, public_key);
    (void)crypto_generichash(hash, sizeof hash, raw, sizeof raw, NULL, 0);
    (void)sodium_bin2hex(out, FINGERPRINT_SIZE, hash, FINGERPRINT_BYTES);
}

enum error_code key_pair_make(const char *name, struct key_pair *out, struct error *err)
{
    *out = (struct key_pair){.name = ""};
    if (!key_name_is_valid(bytes_of_str(name)))
        return error_set(err, ERR_USAGE,
                         "a key's name has 1 to %d of a-z, 0-9, '-', '_' and '.', not '%.80s'",
                         KEY_NAME_MAX, name);
    (void)snprintf(out->name, sizeof out->name, "%s", name);
    if (zmq_curve_keypair(out->public_key, out->secret_key) != 0)
        return error_set(err, ERR_INTERNAL, "this libzmq was built without CURVE");
    return ERR_OK;
}

bool key_public_of(const char *secret_key, char out[KEY_SIZE])
{
    return zmq_curve_public(out, secret_key) == 0;
}

void key_pair_wipe(struct key_pair *pair)
{
    sodium_memzero(pair, sizeof *pair);
}

/* --- files --- */

static enum error_code write_whole(int fd, const char *text, size_t len, const char *path,
                                   struct error *err)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(fd, text + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set_sys(err, ERR_IO, errno, "%s: cannot be written", path);
        done += (size_t)n;
    }
    if (fsync(fd) != 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot be written", path);
    return ERR_OK;
}

enum error_code key_pair_save(const struct key_pair *pair, const char *path, struct error *err)
{
    char text[512];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, ERR_USAGE, "%s: is there already, and is not replaced", path);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot be made", path);
    int n = snprintf(text, sizeof text,
                     "# A key pair of oneid. Whoever has this file is %s.\n"
                     "name %s\npublic %s\nsecret %s\n",
                     pair->name, pair->name, pair->public_key, pair->secret_key);
    enum error_code rc = write_whole(fd, text, (size_t)n, path, err);
    (void)close(fd);
    sodium_memzero(text, sizeof text);
    if (rc != ERR_OK)
        (void)unlink(path);
    return rc;
}

static enum error_code read_descriptor(int fd, const char *path, size_t max, struct buf *out,
                                       struct error *err)
{
    while (out->len <= max) {
        size_t room = max + 1 - out->len;
        ssize_t n = read(fd, buf_reserve(out, room), room);
        if (n == 0)
            return ERR_OK;
        if (n > 0)
            out->len += (size_t)n;
        else if (errno != EINTR)
            return error_set_sys(err, ERR_IO, errno, "%s: cannot be read", path);
    }
    return error_set(err, ERR_CONFIG, "%s: has more than %zu bytes", path, max);
}

enum error_code key_read_file(const char *path, size_t max, struct buf *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot be opened", path);
    enum error_code rc = read_descriptor(fd, path, max, out, err);
    (void)close(fd);
    return rc;
}

enum error_code key_pair_load(const char *path, struct key_pair *out, struct error *err)
{
    struct stat st;
    struct buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot be opened", path);
    enum error_code rc = ERR_OK;
    if (fstat(fd, &st) != 0)
        rc = error_set_sys(err, ERR_IO, errno, "%s", path);
    else if (st.st_mode & (S_IRWXG | S_IRWXO))
        rc = error_set(err, ERR_CONFIG, "%s: others may read this secret key: chmod 600 it", path);
    if (rc == ERR_OK)
        rc = read_descriptor(fd, path, KEY_FILE_MAX, &text, err);
    (void)close(fd);
    if (rc == ERR_OK)
        rc = key_pair_parse(path, buf_bytes(&text), out, err);
    if (text.data)
        sodium_memzero(text.data, text.cap);
    buf_free(&text);
    return rc;
}

/* --- their text --- */

struct key_line {
    const char *path;
    unsigned number;
    struct bytes word, value;
};

/* Cuts the next line off the text. */
static struct key_line next_line(struct bytes *text, const char *path, unsigned number)
{
    const uint8_t *end = memchr(text->data, '\n', text->len);
    size_t len = end ? (size_t)(end - text->data) : text->len;
    struct bytes line = bytes_of(text->data, len);
    size_t skip = len + (end ? 1 : 0);
    *text = bytes_of(text->data + skip, text->len - skip);
    while (line.len > 0 && (line.data[line.len - 1] == '\r' || line.data[line.len - 1] == ' '))
        line.len--;
    const uint8_t *space = line.len ? memchr(line.data, ' ', line.len) : NULL;
    size_t word = space ? (size_t)(space - line.data) : line.len;
    struct key_line l = {path, number, bytes_of(line.data, word), bytes_of(NULL, 0)};
    if (space)
        l.value = bytes_of(space + 1, line.len - word - 1);
    return l;
}

static enum error_code take_line(const struct key_line *l, struct key_pair *out, struct error *err)
{
    static const struct {
        const char *word;
        size_t at, max;
    } FIELDS[] = {{"name", offsetof(struct key_pair, name), KEY_NAME_MAX},
                  {"public", offsetof(struct key_pair, public_key), KEY_LEN},
                  {"secret", offsetof(struct key_pair, secret_key), KEY_LEN}};
    if (l->word.len == 0 || bytes_equal(l->word, bytes_of_str("#")))
        return ERR_OK;
    for (size_t i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++) {
        char *field = (char *)out + FIELDS[i].at;
        if (!bytes_equal(l->word, bytes_of_str(FIELDS[i].word)))
            continue;
        bool good = i == 0 ? key_name_is_valid(l->value) : key_is_valid(l->value);
        if (!good || field[0])
            return error_set(err, ERR_CONFIG, "%s:%u: expected one %s", l->path, l->number,
                             i == 0 ? "name of a-z, 0-9, '-', '_', '.'" : "key of 40 characters");
        memcpy(field, l->value.data, l->value.len);
        return ERR_OK;
    }
    return error_set(err, ERR_CONFIG, "%s:%u: expected name, public or secret", l->path, l->number);
}

static enum error_code check_pair(const char *path, const struct key_pair *p, struct error *err)
{
    char derived[KEY_SIZE];
    if (!p->name[0] || !p->public_key[0] || !p->secret_key[0])
        return error_set(err, ERR_CONFIG, "%s: expected the lines name, public and secret", path);
    if (!key_public_of(p->secret_key, derived) || strcmp(derived, p->public_key) != 0)
        return error_set(err, ERR_CONFIG, "%s: the public key is not that of the secret key", path);
    return ERR_OK;
}

enum error_code key_pair_parse(const char *path, struct bytes text, struct key_pair *out,
                               struct error *err)
{
    enum error_code rc = ERR_OK;
    *out = (struct key_pair){.name = ""};
    for (unsigned number = 1; text.len > 0 && rc == ERR_OK; number++) {
        struct key_line l = next_line(&text, path, number);
        rc = take_line(&l, out, err);
    }
    if (rc == ERR_OK)
        rc = check_pair(path, out, err);
    if (rc != ERR_OK)
        key_pair_wipe(out);
    return rc;
}
