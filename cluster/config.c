#include "config_sections.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What cluster_config_close gets is the first member of this. */
struct loaded {
    struct cluster_config config;
    struct arena arena; /* all that the config points to */
};

static const struct section {
    struct config_key key;
    void (*read)(struct config_node n, struct cluster_config *c);
} SECTIONS[] = {
    {{"cluster", true}, config_read_name},
    {{"data", true}, config_read_data},
    {{"shards", true}, config_read_shards},
    {{"replicas", false}, config_read_replicas},
    {{"security", true}, config_read_security},
    {{"nodes", true}, config_read_nodes},
    {{"routers", true}, config_read_routers},
    {{"timezone", true}, config_read_timezone},
    {{"identities", true}, config_read_identities},
    {{"traits", false}, config_read_traits},
    {{"tags", false}, config_read_tags},
    {{"events", false}, config_read_events},
    {{"levels", false}, config_read_levels},
    {{"limits", false}, config_read_limits},
};
enum { N_SECTIONS = sizeof SECTIONS / sizeof *SECTIONS };

static void read_sections(struct config_doc *d, struct cluster_config *c)
{
    struct config_node root = config_doc_root(d);
    struct config_key keys[N_SECTIONS];
    for (size_t i = 0; i < N_SECTIONS; i++)
        keys[i] = SECTIONS[i].key;
    config_map(root, keys, N_SECTIONS);
    for (size_t i = 0; i < N_SECTIONS; i++)
        SECTIONS[i].read(config_get(root, SECTIONS[i].key.name), c);
}

/* Drops empty and "." parts of an absolute path, in place. ".." stays: what it means depends on
 * symbolic links. */
static void tidy_path(char *path)
{
    char *to = path;
    for (const char *from = path; *from;) {
        while (*from == '/')
            from++;
        size_t len = strcspn(from, "/");
        if (len > 0 && !(len == 1 && from[0] == '.')) {
            *to++ = '/';
            memmove(to, from, len);
            to += len;
        }
        from += len;
    }
    if (to == path)
        *to++ = '/';
    *to = '\0';
}

static enum error_code put_cwd(struct buf *b, struct error *err)
{
    char cwd[4096];
    if (!getcwd(cwd, sizeof cwd))
        return error_set_sys(err, ERR_IO, errno, "cannot tell the working folder");
    buf_put(b, cwd, strlen(cwd));
    buf_put_u8(b, '/');
    return ERR_OK;
}

/* Makes a path absolute, relative to the folder of c->path. */
static enum error_code resolve(struct loaded *l, const char **at, struct error *err)
{
    struct cluster_config *c = &l->config;
    struct buf b = {0};
    const char *slash = strrchr(c->path, '/');
    if ((*at)[0] != '/') {
        enum error_code rc = c->path[0] == '/' ? ERR_OK : put_cwd(&b, err);
        if (rc)
            return rc;
        if (slash)
            buf_put(&b, c->path, (size_t)(slash - c->path) + 1);
    }
    buf_put(&b, *at, strlen(*at) + 1);
    char *path = arena_alloc(&l->arena, b.len);
    if (path) {
        memcpy(path, b.data, b.len);
        tidy_path(path);
        *at = path;
    }
    buf_free(&b);
    return path ? ERR_OK : error_set(err, ERR_NOMEM, "%s: out of memory", c->path);
}

static enum error_code resolve_paths(struct loaded *l, struct error *err)
{
    struct cluster_config *c = &l->config;
    enum error_code rc = resolve(l, &c->data, err);
    if (rc == ERR_OK && c->security.keys)
        rc = resolve(l, &c->security.keys, err);
    if (rc == ERR_OK && c->security.allowed)
        rc = resolve(l, &c->security.allowed, err);
    return rc;
}

static enum error_code parse(struct loaded *l, struct bytes text, struct error *err)
{
    struct config_doc *d = NULL;
    enum error_code rc = config_doc_open(l->config.path, text, &l->arena, &d, err);
    if (rc)
        return rc;
    read_sections(d, &l->config);
    rc = config_doc_result(d, err);
    config_doc_close(d);
    if (rc || (rc = resolve_paths(l, err)))
        return rc;
    if (!schema_seal(&l->config.schema, &l->arena))
        return error_set(err, ERR_NOMEM, "%s: out of memory", l->config.path);
    return ERR_OK;
}

enum error_code cluster_config_parse(const char *path, struct bytes text,
                                     struct cluster_config **out, struct error *err)
{
    struct loaded *l = calloc(1, sizeof *l);
    if (!l)
        return error_set(err, ERR_NOMEM, "%s: out of memory", path);
    arena_init(&l->arena, 0);
    l->config.path = (const char *)arena_copy(&l->arena, bytes_of(path, strlen(path) + 1)).data;
    enum error_code rc =
        l->config.path ? parse(l, text, err) : error_set(err, ERR_NOMEM, "%s: out of memory", path);
    if (rc) {
        cluster_config_close(&l->config);
        return rc;
    }
    *out = &l->config;
    return ERR_OK;
}

/* Reads up to one byte more than a file may have, so that a larger one shows. */
static enum error_code read_file(const char *path, struct buf *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_sys(err, ERR_IO, errno, "%s: cannot be opened", path);
    enum error_code rc = ERR_OK;
    while (out->len <= CONFIG_FILE_MAX) {
        size_t room = CONFIG_FILE_MAX + 1 - out->len;
        ssize_t n = read(fd, buf_reserve(out, room), room);
        if (n == 0)
            break;
        if (n > 0)
            out->len += (size_t)n;
        else if (errno != EINTR) {
            rc = error_set_sys(err, ERR_IO, errno, "%s: cannot be read", path);
            break;
        }
    }
    (void)close(fd);
    return rc;
}

enum error_code cluster_config_open(const char *path, struct cluster_config **out,
                                    struct error *err)
{
    struct buf text = {0};
    enum error_code rc = read_file(path, &text, err);
    if (!rc)
        rc = cluster_config_parse(path, buf_bytes(&text), out, err);
    buf_free(&text);
    return rc;
}

void cluster_config_close(struct cluster_config *c)
{
    if (!c)
        return;
    struct loaded *l = (struct loaded *)c;
    arena_close(&l->arena);
    free(l);
}
