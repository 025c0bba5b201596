// The backends that may be compiled in; each is defined in the file of its name.
#ifndef SECATEUR_CPU_BACKENDS_H_
#define SECATEUR_CPU_BACKENDS_H_

#include "secateur/backend.h"

namespace secateur {

extern const Backend kAvx512Backend;
extern const Backend kAvx2Backend;
extern const Backend kNeonBackend;
extern const Backend kPortableBackend;

}  // namespace secateur

#endif  // SECATEUR_CPU_BACKENDS_H_
