#include <cluster/listen.h>

#include <stdint.h>
#include <string.h>

bool listen_is_port(const char *s)
{
    uint32_t port = 0;
    size_t len = strlen(s);
    if (len < 1 || len > 5 || s[0] == '0')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(s[i] - '0');
    }
    return port <= UINT16_MAX;
}

static bool is_endpoint(const char *s)
{
    static const char SCHEME[] = "tcp://";
    if (strncmp(s, SCHEME, sizeof SCHEME - 1) != 0)
        return false;
    const char *host = s + sizeof SCHEME - 1;
    size_t len = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
    return len > 0 && host[len] == ':' && listen_is_port(host + len + 1);
}

const char *listen_mistake(const char *s)
{
    if (!is_endpoint(s))
        return "\"tcp://host:port\" with a port from 1 to 65535";
    if (strncmp(s, "tcp://0.0.0.0:", 14) == 0)
        return "an address that others can connect to";
    return NULL;
}

bool listen_is_loopback(const char *s)
{
    return strncmp(s, "tcp://127.", 10) == 0 || strncmp(s, "tcp://localhost:", 16) == 0;
}
