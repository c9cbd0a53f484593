/* banned.h - functions that are never the right choice here; included first by the compiler flags.
 * strcpy, strcat, sprintf: no bound.  strtok, rand: hidden state.  atoi, atof: no error. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#pragma GCC poison strcpy strcat sprintf vsprintf strtok rand srand atoi atol atof gets
