#include <proto/trust.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <tempdir.h>

/* --- key files --- */

static void test_key_pair_is_kept_in_a_file_for_the_owner_alone(void **state)
{
    (void)state;
    struct key_pair made, read;
    struct stat st;
    struct error err;
    char *dir = tempdir_make();
    const char *path = tempdir_path(dir, "node-1.key");
    assert_int_equal(key_pair_make("node-1", &made, NULL), ERR_OK);
    assert_int_equal(key_pair_save(&made, path, NULL), ERR_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(key_pair_load(path, &read, NULL), ERR_OK);
    assert_memory_equal(&made, &read, sizeof made);
    assert_int_equal(key_pair_save(&made, path, &err), ERR_USAGE); /* never replaced */
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(key_pair_load(path, &read, &err), ERR_CONFIG);
    assert_non_null(strstr(err.msg, "others may read"));
    tempdir_remove(dir);
}

static void test_key_file_mistakes_are_named(void **state)
{
    (void)state;
    struct key_pair p, q, out;
    struct error err;
    char text[400];
    assert_int_equal(key_pair_make("a", &p, NULL), ERR_OK);
    assert_int_equal(key_pair_make("b", &q, NULL), ERR_OK);
    assert_string_not_equal(p.secret_key, q.secret_key);
    (void)snprintf(text, sizeof text, "name a\npublic %s\nsecret %s\n", q.public_key, p.secret_key);
    assert_int_equal(key_pair_parse("f", bytes_of_str(text), &out, &err), ERR_CONFIG);
    assert_string_equal(err.msg, "f: the public key is not that of the secret key");
    (void)snprintf(text, sizeof text, "name a\npublic %.39s\n", p.public_key);
    assert_int_equal(key_pair_parse("f", bytes_of_str(text), &out, &err), ERR_CONFIG);
    assert_string_equal(err.msg, "f:2: expected one key of 40 characters");
    assert_int_equal(key_pair_parse("f", bytes_of_str("name a b\n"), &out, &err), ERR_CONFIG);
    assert_int_equal(key_pair_parse("f", bytes_of_str("# x\nnaem a\n"), &out, &err), ERR_CONFIG);
    assert_string_equal(err.msg, "f:2: expected name, public or secret");
    assert_int_equal(key_pair_parse("f", bytes_of_str(""), &out, &err), ERR_CONFIG);
    assert_null(strstr(err.msg, p.secret_key));
    assert_int_equal(key_pair_make("A b", &out, &err), ERR_USAGE);
}

static void test_key_fingerprints_differ_and_stay(void **state)
{
    (void)state;
    struct key_pair p, q;
    char a[FINGERPRINT_SIZE], b[FINGERPRINT_SIZE];
    assert_int_equal(key_pair_make("a", &p, NULL), ERR_OK);
    assert_int_equal(key_pair_make("b", &q, NULL), ERR_OK);
    key_fingerprint(p.public_key, a);
    key_fingerprint(p.public_key, b);
    assert_string_equal(a, b);
    assert_int_equal(strlen(a), FINGERPRINT_SIZE - 1);
    key_fingerprint(q.public_key, b);
    assert_string_not_equal(a, b);
}

/* --- the list --- */

static struct trust_list *parse(const char *text)
{
    struct trust_list *t = NULL;
    struct error err = {0};
    if (trust_parse("allowed", bytes_of_str(text), &t, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return t;
}

static void test_trust_list_says_roles_names_and_limits(void **state)
{
    (void)state;
    struct key_pair p[4];
    char text[2000], keys[4][KEY_SIZE];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(key_pair_make("x", &p[i], NULL), ERR_OK);
    (void)snprintf(text, sizeof text,
                   "# who may\n\n%s node node-1\r\n  %s\treader,node  node-1 \n"
                   "%s writer shop requests_per_second=10 in_flight=7 message_kb=64\n%s admin me",
                   p[0].public_key, p[1].public_key, p[2].public_key, p[3].public_key);
    struct trust_list *t = parse(text);
    assert_int_equal(t->n, 4);
    assert_int_equal(trust_find(t, p[0].public_key)->roles, ROLE_NODE);
    assert_int_equal(trust_find(t, p[1].public_key)->roles, ROLE_NODE | ROLE_READER);
    const struct trusted *shop = trust_find(t, p[2].public_key);
    assert_string_equal(shop->name, "shop");
    assert_int_equal(shop->roles, ROLE_WRITER | ROLE_READER);
    assert_int_equal(shop->limits.requests_per_second, 10);
    assert_int_equal(shop->limits.in_flight, 7);
    assert_int_equal(shop->limits.message_kb, 64);
    assert_int_equal(trust_find(t, p[3].public_key)->roles, ROLE_ADMIN | ROLE_WRITER | ROLE_READER);
    assert_int_equal(trust_server_keys(t, "node-1", keys, 4), 2); /* old and new */
    assert_string_equal(keys[1], p[1].public_key);
    assert_int_equal(trust_server_keys(t, "node-1", keys, 1), 1);
    assert_int_equal(trust_server_keys(t, "shop", keys, 4), 0); /* no node */
    assert_null(trust_find(t, p[0].secret_key));
    trust_free(t);
}

static void test_trust_list_mistakes_say_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *msg; /* K: a key */
    } M[] = {
        {"hello\n", "a:1:1: expected a public key of 40 characters"},
        {"\n  K\n", "a:2:43: expected roles: reader, writer, admin, node, with a ',' between them"},
        {"K boss x\n",
         "a:1:42: expected roles: reader, writer, admin, node, with a ',' between them"},
        {"K reader, x\n",
         "a:1:42: expected roles: reader, writer, admin, node, with a ',' between them"},
        {"K reader\n", "a:1:48: expected a name of a-z, 0-9, '-', '_' and '.'"},
        {"K reader Sh\n", "a:1:49: expected a name of a-z, 0-9, '-', '_' and '.'"},
        {"K reader x y\n", "a:1:51: expected requests_per_second=N, in_flight=N, message_kb=N, or "
                           "the line's end"},
        {"K reader x in_flight=0\n",
         "a:1:51: expected a number from 1 to 999999999 behind the '='"},
        {"K reader x in_flight=1000000000\n",
         "a:1:51: expected a number from 1 to 999999999 behind the '='"},
        {"K reader x\nK node y\n",
         "a:2:1: expected another key: this one stands further up already"},
    };
    struct key_pair p;
    assert_int_equal(key_pair_make("x", &p, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof M / sizeof *M; i++) {
        char text[300] = "";
        struct trust_list *t = NULL;
        struct error err = {0};
        for (const char *c = M[i].text; *c; c++)
            (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s",
                           *c == 'K' ? KEY_LEN : 1, *c == 'K' ? p.public_key : c);
        assert_int_equal(trust_parse("a", bytes_of_str(text), &t, &err), ERR_CONFIG);
        assert_string_equal(err.msg, M[i].msg);
        assert_null(t);
    }
}

/* Any damage to a list's bytes gives a list or a mistake, never a crash, and never more rights: a
 * key that is found has its own roles. */
static void test_trust_list_survives_any_damage(void **state)
{
    (void)state;
    struct key_pair p;
    char good[200], text[200];
    assert_int_equal(key_pair_make("x", &p, NULL), ERR_OK);
    int len = snprintf(good, sizeof good, "%s reader x in_flight=5\n", p.public_key);
    for (int at = 0; at < len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct trust_list *t = NULL;
            memcpy(text, good, (size_t)len);
            text[at] = (char)((unsigned char)text[at] ^ 1U << bit);
            if (trust_parse("a", bytes_of(text, (size_t)len), &t, NULL) != ERR_OK)
                continue;
            const struct trusted *who = trust_find(t, p.public_key);
            assert_true(!who || who->roles == ROLE_READER);
            trust_free(t);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_pair_is_kept_in_a_file_for_the_owner_alone),
        cmocka_unit_test(test_key_file_mistakes_are_named),
        cmocka_unit_test(test_key_fingerprints_differ_and_stay),
        cmocka_unit_test(test_trust_list_says_roles_names_and_limits),
        cmocka_unit_test(test_trust_list_mistakes_say_where),
        cmocka_unit_test(test_trust_list_survives_any_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
