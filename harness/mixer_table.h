/* mixer_table.h - mixgrid help mixers: what each mixer costs at given settings. */
#pragma once
#include "kernels/core/error.h"

status command_mixers(int argc, char **argv, error *e);
