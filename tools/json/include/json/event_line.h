/* One line of JSON to one event (docs/cli.md, "The lines of an import").
 *
 * Unknown keys, keys that stand twice, and values of a wrong type are refused; whether the names
 * and values fit the cluster is for the router to say. One owner, one thread.
 */
#ifndef JSON_EVENT_LINE_H
#define JSON_EVENT_LINE_H

#include <base/bytes.h>
#include <oneid/oneid.h>

struct complaint {
    size_t column;    /* characters from 1; 0: of the line as a whole */
    char reason[200]; /* names keys, never values */
};

struct event_line;
/* NULL: no memory. */
struct event_line *event_line_new(void);
void event_line_free(struct event_line *l);
/* The event lives until the next call; NULL: refused, the complaint says why. */
const struct oneid_event *event_line_read(struct event_line *l, struct bytes line,
                                          struct complaint *complaint);

#endif
