#include <proto/trust.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned role, includes;
} ROLES[] = {
    {"reader", ROLE_READER, ROLE_READER},
    {"writer", ROLE_WRITER, ROLE_WRITER | ROLE_READER},
    {"admin", ROLE_ADMIN, ROLE_ADMIN | ROLE_WRITER | ROLE_READER},
    {"node", ROLE_NODE, ROLE_NODE},
};
enum { N_ROLES = sizeof ROLES / sizeof *ROLES, NUMBER_DIGITS = 9 };

const char *role_name(unsigned role)
{
    for (size_t i = 0; i < N_ROLES; i++) {
        if (ROLES[i].role == role)
            return ROLES[i].name;
    }
    return "none";
}

static unsigned role_of(struct bytes word)
{
    for (size_t i = 0; i < N_ROLES; i++) {
        if (bytes_equal(word, bytes_of_str(ROLES[i].name)))
            return ROLES[i].includes;
    }
    return 0;
}

unsigned roles_of(struct bytes text)
{
    unsigned roles = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.data[i] != ',')
            continue;
        unsigned role = role_of(bytes_of(text.data + begin, i - begin));
        if (role == 0)
            return 0;
        roles |= role;
        begin = i + 1;
    }
    return roles;
}

/* --- the file's text --- */

struct parser {
    const char *path;
    struct error *err;
    struct bytes line; /* what is left of it */
    unsigned number, column;
    struct trust_list *list;
    size_t cap;
};

static enum error_code mistake(const struct parser *p, const char *expected)
{
    return error_set(p->err, ERR_CONFIG, "%s:%u:%u: expected %s", p->path, p->number, p->column,
                     expected);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip(struct parser *p, size_t n)
{
    p->line = bytes_of(p->line.data + n, p->line.len - n);
    p->column += (unsigned)n;
}

/* Goes to the next word; false: the line has no more. */
static bool find_word(struct parser *p, struct bytes *word)
{
    while (p->line.len > 0 && is_blank(p->line.data[0]))
        skip(p, 1);
    size_t n = 0;
    while (n < p->line.len && !is_blank(p->line.data[n]))
        n++;
    *word = bytes_of(p->line.data, n);
    return n > 0;
}

/* At most nine digits. */
static bool number_of(struct bytes text, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *out = *out * 10 + (uint32_t)(text.data[i] - '0');
    }
    return text.len > 0 && text.len <= NUMBER_DIGITS;
}

static enum error_code take_limit(struct parser *p, struct bytes word, struct key_limits *limits)
{
    static const struct {
        const char *name;
        size_t at;
    } LIMITS[] = {{"requests_per_second=", offsetof(struct key_limits, requests_per_second)},
                  {"in_flight=", offsetof(struct key_limits, in_flight)},
                  {"message_kb=", offsetof(struct key_limits, message_kb)}};
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        size_t len = strlen(LIMITS[i].name);
        uint32_t value;
        if (word.len < len || memcmp(word.data, LIMITS[i].name, len) != 0)
            continue;
        if (!number_of(bytes_of(word.data + len, word.len - len), &value) || value == 0)
            return mistake(p, "a number from 1 to 999999999 behind the '='");
        memcpy((uint8_t *)limits + LIMITS[i].at, &value, sizeof value);
        return ERR_OK;
    }
    return mistake(p, "requests_per_second=N, in_flight=N, message_kb=N, or the line's end");
}

static enum error_code take_key(struct parser *p, struct bytes word, struct trusted *t)
{
    if (!key_is_valid(word))
        return mistake(p, "a public key of 40 characters");
    memcpy(t->key, word.data, word.len);
    key_fingerprint(t->key, t->fingerprint);
    for (size_t i = 0; i < p->list->n; i++) {
        if (strcmp(p->list->keys[i].key, t->key) == 0)
            return mistake(p, "another key: this one stands further up already");
    }
    return ERR_OK;
}

static enum error_code take_words(struct parser *p, struct trusted *t)
{
    struct bytes word;
    (void)find_word(p, &word);
    enum error_code rc = take_key(p, word, t);
    if (rc != ERR_OK)
        return rc;
    skip(p, word.len);
    if (!find_word(p, &word) || (t->roles = roles_of(word)) == 0)
        return mistake(p, "roles: reader, writer, admin, node, with a ',' between them");
    skip(p, word.len);
    if (!find_word(p, &word) || !key_name_is_valid(word))
        return mistake(p, "a name of a-z, 0-9, '-', '_' and '.'");
    memcpy(t->name, word.data, word.len);
    skip(p, word.len);
    while (find_word(p, &word)) {
        rc = take_limit(p, word, &t->limits);
        if (rc != ERR_OK)
            return rc;
        skip(p, word.len);
    }
    return ERR_OK;
}

static bool make_room(struct parser *p)
{
    struct trust_list *l = p->list;
    if (l->n < p->cap)
        return true;
    size_t cap = p->cap ? p->cap * 2 : 16;
    struct trusted *keys = realloc(l->keys, cap * sizeof *keys);
    if (!keys)
        return false;
    l->keys = keys;
    p->cap = cap;
    return true;
}

static enum error_code take_line(struct parser *p)
{
    struct bytes word;
    struct trusted t = {.key = ""};
    if (!find_word(p, &word) || bytes_equal(word, bytes_of_str("#")))
        return ERR_OK;
    if (p->list->n == TRUST_KEYS_MAX)
        return mistake(p, "fewer keys");
    enum error_code rc = take_words(p, &t);
    if (rc != ERR_OK)
        return rc;
    if (!make_room(p))
        return error_set(p->err, ERR_NOMEM, "%s: out of memory", p->path);
    p->list->keys[p->list->n++] = t;
    return ERR_OK;
}

static enum error_code take_lines(struct parser *p, struct bytes text)
{
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t len = end ? (size_t)(end - text.data) : text.len;
        p->number++;
        p->column = 1;
        p->line = bytes_of(text.data, len);
        enum error_code rc = take_line(p);
        if (rc != ERR_OK)
            return rc;
        size_t used = len + (end ? 1 : 0);
        text = bytes_of(text.data + used, text.len - used);
    }
    return ERR_OK;
}

enum error_code trust_parse(const char *path, struct bytes text, struct trust_list **out,
                            struct error *err)
{
    *out = NULL;
    struct parser p = {.path = path, .err = err, .list = calloc(1, sizeof *p.list)};
    if (!p.list)
        return error_set(err, ERR_NOMEM, "%s: out of memory", path);
    enum error_code rc = take_lines(&p, text);
    if (rc != ERR_OK) {
        trust_free(p.list);
        return rc;
    }
    *out = p.list;
    return ERR_OK;
}

enum error_code trust_read(const char *path, struct trust_list **out, struct error *err)
{
    struct buf text = {0};
    *out = NULL;
    enum error_code rc = key_read_file(path, TRUST_FILE_MAX, &text, err);
    if (rc == ERR_OK)
        rc = trust_parse(path, buf_bytes(&text), out, err);
    buf_free(&text);
    return rc;
}

void trust_free(struct trust_list *t)
{
    if (!t)
        return;
    free(t->keys);
    free(t);
}

const struct trusted *trust_find(const struct trust_list *t, const char *key)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->keys[i].key, key) == 0)
            return &t->keys[i];
    }
    return NULL;
}

size_t trust_server_keys(const struct trust_list *t, const char *name, char (*out)[KEY_SIZE],
                         size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n && n < max; i++) {
        if ((t->keys[i].roles & ROLE_NODE) && strcmp(t->keys[i].name, name) == 0)
            memcpy(out[n++], t->keys[i].key, KEY_SIZE);
    }
    return n;
}
