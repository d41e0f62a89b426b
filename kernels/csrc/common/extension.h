/* What the files of gankit.kernels._cpu take from Python and give to it.
 *
 * No PyTorch header is used, so one build serves every PyTorch. The caller vouches for the addresses: dense memory of
 * the sizes it gives, outputs apart from inputs. A file hands its functions in with METHODS, so no list names them all.
 */
#ifndef GANKIT_EXTENSION_H
#define GANKIT_EXTENSION_H

#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct constant {
    const char *name;
    long value;
};

struct offer {
    PyMethodDef *methods;
    const struct constant *constants;
    struct offer *next;
};
extern struct offer *offers; /* of every file, in module.c */

/* Runs as the library is loaded. */
#define OFFER(kind, type, ...)                                           \
    static type kind[] = {__VA_ARGS__, {0}};                             \
    __attribute__((constructor)) static void offer_##kind(void)          \
    {                                                                    \
        static struct offer mine = {.kind = kind};                       \
        mine.next = offers;                                              \
        offers = &mine;                                                  \
    }
#define METHODS(...) OFFER(methods, PyMethodDef, __VA_ARGS__)
#define CONSTANTS(...) OFFER(constants, const struct constant, __VA_ARGS__)
#define FAST(name) #name, (PyCFunction)(void (*)(void))cpu_##name, METH_FASTCALL

struct reader {
    PyObject *const *args;
    Py_ssize_t left;
};

static inline PyObject *next_argument(struct reader *from)
{
    if (from->left-- > 0)
        return *from->args++;
    PyErr_SetString(PyExc_TypeError, "too few arguments");
    return NULL;
}

static inline int64_t whole(struct reader *from)
{
    PyObject *argument = next_argument(from);
    return argument ? PyLong_AsLongLong(argument) : 0;
}

static inline void *address(struct reader *from) { return (void *)(intptr_t)whole(from); }

static inline double number(struct reader *from)
{
    PyObject *argument = next_argument(from);
    return argument ? PyFloat_AsDouble(argument) : 0;
}

static inline int read_all(struct reader *from)
{
    if (!PyErr_Occurred() && from->left)
        PyErr_SetString(PyExc_TypeError, "too many arguments");
    return !PyErr_Occurred();
}

#endif
