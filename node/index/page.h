/* One page of the members that satisfy a query, by rising One-ID. */
#ifndef INDEX_PAGE_H
#define INDEX_PAGE_H

#include "session.h"

struct page_row {
    one_id member;
    uint32_t ordinal;
};

struct page {
    struct page_row *rows; /* the result: by rising One-ID */
    size_t n;
    uint64_t next; /* the cursor to go on from; 0: nothing follows */
};

/* At most `limit` members after `cursor`. The rows live in the session's arena. */
enum error_code page_collect(struct session *s, const struct node *root, one_id cursor,
                             size_t limit, struct page *out, struct error *err);

#endif
