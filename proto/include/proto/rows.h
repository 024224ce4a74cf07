/* Rows of an export: members with the values of chosen fields, packed by a node and read by the
 * asker; routers pass them on unopened.
 *
 *   row    u64 One-ID, then a value for each field
 *   value  u8 kind; INTEGER and DECIMAL (millionths): zigzag; TEXT: varint length, bytes;
 *          LIST: varint n, n texts
 */
#ifndef PROTO_ROWS_H
#define PROTO_ROWS_H

#include <proto/request.h>

void rows_put_member(struct buf *out, one_id member);
void rows_put_none(struct buf *out);
void rows_put_integer(struct buf *out, int64_t v);
void rows_put_decimal(struct buf *out, int64_t millionths);
void rows_put_text(struct buf *out, struct bytes text);
void rows_put_list(struct buf *out, const struct bytes *list, size_t n);

/* One value; its list lives in `arena`, texts borrow. False: not a value, or no memory (r->ok says
 * which: memory is out where it is still true). `name` is left alone. */
bool rows_take_value(struct reader *r, struct arena *arena, struct named_value *out);

#endif
