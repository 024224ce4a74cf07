#include "monitor.h"

#include <stdio.h>
#include <zmq.h>

enum { ADDRESS_MAX = 512, EVENT_SIZE = 6 };

void *monitor_open(struct net *n, void *socket, int events)
{
    char address[ADDRESS_MAX];
    int unbounded = 0, linger = 0;
    (void)pthread_mutex_lock(&n->mutex);
    unsigned number = n->n_monitors++;
    (void)pthread_mutex_unlock(&n->mutex);
    (void)snprintf(address, sizeof address, "inproc://monitor-%u", number);
    void *m = zmq_socket(n->ctx, ZMQ_PAIR);
    /* libzmq's I/O thread would wait for a monitor that is full. */
    if (m && zmq_setsockopt(m, ZMQ_RCVHWM, &unbounded, sizeof unbounded) == 0 &&
        zmq_setsockopt(m, ZMQ_LINGER, &linger, sizeof linger) == 0 &&
        zmq_socket_monitor(socket, address, events) == 0 && zmq_connect(m, address) == 0)
        return m;
    if (m)
        (void)zmq_close(m);
    return NULL;
}

void monitor_close(void *socket, void *monitor)
{
    if (!monitor)
        return;
    (void)zmq_socket_monitor(socket, NULL, 0);
    (void)zmq_close(monitor);
}

/* Two parts: number and value, then the address. */
bool monitor_take(void *monitor, unsigned *event, uint32_t *value)
{
    uint8_t head[EVENT_SIZE], address[ADDRESS_MAX];
    if (zmq_recv(monitor, head, sizeof head, ZMQ_DONTWAIT) < EVENT_SIZE)
        return false;
    (void)zmq_recv(monitor, address, sizeof address, ZMQ_DONTWAIT);
    *event = (unsigned)head[0] | (unsigned)head[1] << 8;
    *value = bytes_load_u32(head + 2);
    return true;
}
