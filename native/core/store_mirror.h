// A store's arrays in another memory, a GPU's, where steps and projections run instead. Which copy
// is the newer is the mirror's business: everything else asks for a slot to be brought home before
// it touches the store's own memory. Calls hold the store's mutex.
#ifndef SECATEUR_CORE_STORE_MIRROR_H_
#define SECATEUR_CORE_STORE_MIRROR_H_

#include <vector>

#include "secateur/optimizer.h"
#include "secateur/parameter_store.h"

namespace secateur {

class Device;

// What a projection moved: squares of ||W - Z|| and ||Z - Z before||, and weights that changed
// sides.
struct ProjectSums {
  double gap = 0;
  double moved = 0;
  int64_t changed = 0;
};

class StoreMirror {
 public:
  virtual ~StoreMirror() = default;
  virtual const Device& device() const = 0;

  // The store's memory of a slot gets what is newer here, and from now on is the newer itself:
  // whoever asks may write it. Parameters are never newer here between two calls.
  virtual void BringHome(Slot slot) = 0;

  // Copies the store's gradients, as every step begins.
  virtual void TakeGradients() = 0;
  // Of those, what the mask removes left out, in the order of core/optimizer.cc.
  virtual double SumSquares() = 0;
  // The step that OptimizerStep takes here, its checks and the norm done.
  virtual void Step(const StepOptions& options, double clip) = 0;

  // W + U of the pruned tensors as floats, laid out as a slot; until the next call.
  virtual const Source& Next(const std::vector<TensorThreshold>& before) = 0;
  // V := W + U, as core/admm.cc.
  virtual ProjectSums Project(const std::vector<TensorThreshold>& before,
                              const std::vector<TensorThreshold>& after) = 0;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_STORE_MIRROR_H_
