// The memory that training works on: parameters, gradients, momenta and the ADMM state of all
// tensors. Owned here, since workers and the main thread of Node look at the same bytes and neither
// may free them while the other does: everyone holds a shared pointer. Knows sizes and switches, no
// mathematics.
#ifndef SECATEUR_PARAMETER_STORE_H_
#define SECATEUR_PARAMETER_STORE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "secateur/groups.h"
#include "secateur/select.h"

namespace secateur {

class KeyBuffer;
class StoreMirror;

struct StoreTensor {
  std::string name;  // for messages
  int64_t count = 0;
  bool prune = false;   // takes part in ADMM and in masks
  bool decay = false;   // takes part in weight decay
  bool follow = false;  // not pruned by itself, but under the mask with the channels of others
};

// Arrays of one float an element. All begin as zeros.
enum class Slot : uint8_t {
  kParameters,
  kGradients,
  kFirstMoment,   // of Adam, or the momentum of SGD
  kSecondMoment,  // of Adam
  kAdmm,          // V = W + U, of prunable tensors only
  kAverage,       // moving average of the parameters
};
inline constexpr int kSlots = 6;

// What turns V into Z and U: Z = V where it is kept, U = dual * V where it is not. `thresholds` say
// what is kept, or after a projection by groups, which no threshold on V can tell, the store's
// support. When rho changes, only `dual` does: U stays the gradient that it stands for, whether rho
// rises or falls, and no pass over V is needed.
struct AdmmState {
  double rho = 0;  // of the steps so far; 0: none yet
  double dual = 1;
  std::vector<TensorThreshold> thresholds;  // one a tensor of the store; empty: not begun
  bool by_support = false;                  // then thresholds mean nothing
};

class ParameterStore {
 public:
  // A new store, known by its id while anyone holds it. Throws Error INVALID_OPTION on negative or
  // absurd counts.
  static std::shared_ptr<ParameterStore> Create(std::vector<StoreTensor> tensors);

  // The store of that id, made in any thread. Throws Error INVALID_OPTION when it is gone.
  static std::shared_ptr<ParameterStore> Open(int64_t id);

  ~ParameterStore();
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  int64_t id() const { return id_; }
  const std::vector<StoreTensor>& tensors() const { return tensors_; }
  int64_t elements() const { return elements_; }  // over all tensors

  // Makes a slot's memory if it is not there; not safe beside itself: hold `mutex`.
  void Allocate(Slot slot);
  void AllocateMask();                  // of ones
  void DropMask() { masked_ = false; }  // its memory stays: there may be views of it
  bool Has(Slot slot) const { return slots_[static_cast<size_t>(slot)] != nullptr; }
  bool HasMask() const { return masked_; }

  // Tensors lie one after another, each on a cache line of its own: the whole slot is `Bytes()`
  // long, tensor t begins `Offset(t)` elements into it.
  int64_t Offset(size_t tensor) const { return offsets_[tensor]; }
  int64_t PaddedElements() const { return padded_; }
  float* Data(Slot slot, size_t tensor = 0) const;

  // One byte a weight, 1 = keep; null when there is no mask or the tensor is never under it.
  uint8_t* Mask(size_t tensor) const;
  uint8_t* MaskBytes() const;  // PaddedElements() bytes, of tensors that are never masked too
  bool IsMasked(size_t tensor) const { return tensors_[tensor].prune || tensors_[tensor].follow; }

  // The support of Z after a projection by groups, laid out as the mask; null when there is none.
  uint8_t* SupportBytes() const;
  void AllocateSupport();  // of ones, if it is not there

  // Makes a slot's memory current, where a device has what is newer; before it is read or written.
  void BringHome(Slot slot);

  // Held by every call that reads or writes the memory.
  std::mutex mutex;
  // Where steps and projections run if not here; see device.h, TrainOnDevice.
  std::shared_ptr<StoreMirror> mirror;
  // Counts up whenever the mask or the support was written, or may be.
  int64_t mask_revision = 0;
  AdmmState admm;
  // Of the tensors that are pruned or follow, in order. None: each weight by itself.
  std::optional<Grouping> grouping;

 private:
  explicit ParameterStore(std::vector<StoreTensor> tensors);

  int64_t id_ = 0;
  std::vector<StoreTensor> tensors_;
  std::vector<int64_t> offsets_;
  int64_t elements_ = 0;
  int64_t padded_ = 0;
  std::array<std::unique_ptr<KeyBuffer>, kSlots> slots_;
  std::unique_ptr<KeyBuffer> mask_;
  std::unique_ptr<KeyBuffer> support_;
  bool masked_ = false;
};

}  // namespace secateur

#endif  // SECATEUR_PARAMETER_STORE_H_
