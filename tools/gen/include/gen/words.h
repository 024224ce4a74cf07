/* The vocabulary of generated events: small fixed lists, named by number inside the generator.
 * Everything fits the schema of the default cluster.yml. */
#ifndef GEN_WORDS_H
#define GEN_WORDS_H

/* In the order of their strength in cluster.yml; a device never bridges. */
enum gen_ns {
    GEN_MEMBER,
    GEN_PHONE,
    GEN_UNIONID,
    GEN_OPENID,
    GEN_TMALL,
    GEN_DOUYIN,
    GEN_CUSTOMER,
    GEN_DEVICE,
    GEN_NS_COUNT
};

enum gen_source {
    GEN_CRM,
    GEN_WECHAT,
    GEN_TMALL_SHOP,
    GEN_DOUYIN_SHOP,
    GEN_APP,
    GEN_POS,
    GEN_SOURCE_COUNT
};

enum gen_gender { GEN_MALE, GEN_FEMALE, GEN_OTHER, GEN_GENDER_COUNT };

enum {
    GEN_CITY_COUNT = 40,
    GEN_CATEGORY_COUNT = 12,
    GEN_INTEREST_COUNT = 12,
    GEN_TAG_COUNT = 64,
    GEN_TAG_REMOVABLE = 4, /* only the first so many tags are ever removed */
    GEN_NAME_COUNT = 400,
    GEN_NAME_TEXT_MAX = 16
};

/* Tags and cities that expressions name. */
enum { GEN_TAG_NEW, GEN_TAG_CART, GEN_TAG_TRIAL, GEN_TAG_SLEEPING, GEN_TAG_VIP, GEN_TAG_SALE };
enum { GEN_CITY_SHANGHAI, GEN_CITY_BEIJING, GEN_CITY_HANGZHOU };
enum { GEN_CATEGORY_MILK, GEN_CATEGORY_NAPPY };

extern const char *const gen_ns_names[GEN_NS_COUNT];
extern const char *const gen_source_names[GEN_SOURCE_COUNT];
extern const char *const gen_gender_names[GEN_GENDER_COUNT];
extern const char *const gen_city_names[GEN_CITY_COUNT];
extern const char *const gen_category_names[GEN_CATEGORY_COUNT];
extern const char *const gen_interest_names[GEN_INTEREST_COUNT];
extern const char *const gen_tag_names[GEN_TAG_COUNT];

/* A person's name, of its number below GEN_NAME_COUNT; NUL-terminated. */
void gen_name_text(unsigned number, char out[GEN_NAME_TEXT_MAX]);

#endif
