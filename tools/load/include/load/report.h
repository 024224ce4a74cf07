/* What a drive has measured, for people and as JSON. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include <load/drive.h>
#include <stdio.h>

struct report_head {
    const char *command;
    uint32_t in_flight;
    double rate; /* 0: closed loop */
};

void report_print(FILE *out, const struct report_head *h, const struct drive_report *r);
void report_print_json(FILE *out, const struct report_head *h, const struct drive_report *r);
/* Answers other than ONEID_OK. */
uint64_t report_errors(const struct drive_report *r);

#endif
