/* keygen: key pairs, and their lines in the list of allowed keys. */
#include "commands.h"
#include "session.h"

#include <proto/trust.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 2048, LINE_SIZE = 256 };

/* mkdir -p, 0700. */
static bool make_folder(const char *path, struct error *err)
{
    char part[PATH_SIZE];
    size_t n = strlen(path);
    if (n >= sizeof part) {
        (void)error_set(err, ERR_USAGE, "the folder's path is too long");
        return false;
    }
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            (void)error_set_sys(err, ERR_IO, errno, "%s", part);
            return false;
        }
    }
    return true;
}

/* Appended in one piece and synced, so that a reader sees whole lines. */
static bool append(const char *path, const char *line, int flags, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    size_t len = strlen(line);
    bool ok = fd >= 0 && write(fd, line, len) == (ssize_t)len && fsync(fd) == 0;
    if (!ok)
        (void)error_set_sys(err, ERR_IO, errno, "%s", path);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

static const char *usual_roles(const char *name)
{
    bool is_process = strncmp(name, "node-", 5) == 0 || strncmp(name, "router-", 7) == 0;
    return is_process ? "node" : "reader";
}

/* Makes FOLDER/NAME.key and NAME.pub, and the line. */
static bool make_one(const char *folder, const char *name, const char *roles, char line[LINE_SIZE],
                     struct error *err)
{
    char path[PATH_SIZE];
    struct key_pair pair;
    if (key_pair_make(name, &pair, err) != ERR_OK || !make_folder(folder, err))
        return false;
    (void)snprintf(line, LINE_SIZE, "%s %s %s\n", pair.public_key, roles, name);
    (void)snprintf(path, sizeof path, "%s/%s.key", folder, name);
    bool ok = key_pair_save(&pair, path, err) == ERR_OK;
    key_pair_wipe(&pair);
    (void)snprintf(path, sizeof path, "%s/%s.pub", folder, name);
    return ok && append(path, line, O_TRUNC, err);
}

static void show(const char *folder, const char *name, const char *line)
{
    char key[KEY_SIZE] = "", fingerprint[FINGERPRINT_SIZE];
    memcpy(key, line, KEY_LEN);
    key_fingerprint(key, fingerprint);
    (void)printf("key          %s/%s.key (secret: for %s alone)\npublic key   %s\nfingerprint  %s\n"
                 "line for the list of allowed keys:\n%s",
                 folder, name, name, key, fingerprint, line);
}

static int problem(const struct error *err)
{
    complain("%s", err->msg);
    return EXIT_PROBLEM;
}

/* --- --name --- */

static int make_named(const struct options *o)
{
    const char *roles = o->roles ? o->roles : usual_roles(o->name);
    char line[LINE_SIZE], *folder = o->out ? strdup(o->out) : NULL;
    struct cluster_config *c = NULL;
    struct error err;
    if (!roles_of(bytes_of_str(roles))) {
        free(folder);
        complain("--roles: expected reader, writer, admin, node, with a ',' between them");
        return EXIT_USAGE;
    }
    if (!folder && cluster_config_open(o->config, &c, &err) == ERR_OK && !c->security.plain)
        folder = strdup(c->security.keys);
    if (!folder)
        folder = strdup(".");
    cluster_config_close(c);
    bool ok = folder && make_one(folder, o->name, roles, line, &err);
    if (ok)
        show(folder, o->name, line);
    free(folder);
    return ok ? EXIT_OK : problem(&err);
}

/* --- --all --- */

/* The line of a key file that is there already. */
static bool line_of_file(const char *path, const char *name, const char *roles,
                         char line[LINE_SIZE], struct error *err)
{
    struct key_pair pair;
    if (key_pair_load(path, &pair, err) != ERR_OK)
        return false;
    (void)snprintf(line, LINE_SIZE, "%s %s %s\n", pair.public_key, roles, name);
    key_pair_wipe(&pair);
    return true;
}

/* A key that is missing is made, but not where the list has one of that name: then it is on another
 * machine. */
static bool complete(const struct cluster_config *c, const struct trust_list *t, const char *name,
                     const char *roles, struct error *err)
{
    char path[PATH_SIZE], line[LINE_SIZE], key[KEY_SIZE] = "";
    bool listed = false;
    (void)snprintf(path, sizeof path, "%s/%s.key", c->security.keys, name);
    bool there = access(path, F_OK) == 0;
    for (size_t i = 0; t && i < t->n; i++)
        listed = listed || strcmp(t->keys[i].name, name) == 0;
    if (!there && listed)
        return true;
    bool ok = there ? line_of_file(path, name, roles, line, err)
                    : make_one(c->security.keys, name, roles, line, err);
    if (!ok)
        return false;
    memcpy(key, line, KEY_LEN);
    if (t && trust_find(t, key))
        return true;
    (void)printf("%s %s\n", there ? "listed " : "made   ", name);
    return append(c->security.allowed, line, O_APPEND, err);
}

static bool complete_all(const struct cluster_config *c, struct error *err)
{
    struct trust_list *t = NULL;
    char name[24];
    bool there = access(c->security.allowed, F_OK) == 0;
    if (there && trust_read(c->security.allowed, &t, err) != ERR_OK)
        return false;
    bool ok = make_folder(c->security.keys, err);
    for (size_t i = 0; i < c->n_nodes && ok; i++) {
        (void)snprintf(name, sizeof name, "node-%u", c->nodes[i].id);
        ok = complete(c, t, name, "node", err);
    }
    for (size_t i = 0; i < c->n_routers && ok; i++) {
        (void)snprintf(name, sizeof name, "router-%u", c->routers[i].id);
        ok = complete(c, t, name, "node", err);
    }
    ok = ok && complete(c, t, "admin", "admin", err);
    trust_free(t);
    return ok;
}

static int make_all(const struct options *o)
{
    struct error err;
    struct cluster_config *c = session_config(o);
    if (!c)
        return EXIT_PROBLEM;
    int rc = EXIT_OK;
    if (c->security.plain)
        (void)printf("%s says security: none, so that no key is needed\n", c->path);
    else if (!complete_all(c, &err))
        rc = problem(&err);
    cluster_config_close(c);
    return rc;
}

int run_keygen(const struct options *o)
{
    bool wrong = o->all ? o->name || o->roles || o->out : !o->name;
    if (!wrong)
        return o->all ? make_all(o) : make_named(o);
    complain("keygen: expected --all, or --name NAME");
    return EXIT_USAGE;
}
