// Marks what libpabal.so shows: all that the extension and the server call of it. Everything else
// is hidden there, so that calls inside it are as direct as in a program.
#pragma once

#define PABAL_EXPORTED [[gnu::visibility("default")]]
