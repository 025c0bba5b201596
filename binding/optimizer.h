// The functions of training that JavaScript sees; binding/optimizer.cc has them.
#ifndef SECATEUR_BINDING_OPTIMIZER_H_
#define SECATEUR_BINDING_OPTIMIZER_H_

#include "napi_setup.h"

namespace secateur::binding {

void AddOptimizer(Napi::Object exports);

}  // namespace secateur::binding

#endif  // SECATEUR_BINDING_OPTIMIZER_H_
