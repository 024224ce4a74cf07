/* How many files and connections a process may have open. */
#ifndef BASE_DESCRIPTORS_H
#define BASE_DESCRIPTORS_H

/* As many as the system lets it have: strangers who open connections must not take those that its
 * files need, and the usual 1024 are soon taken. Once, as a process that listens begins. */
void descriptors_allow_many(void);

#endif
