#include "secateur/parameter_store.h"

#include <cstring>
#include <unordered_map>
#include <utility>

#include "core/key_buffer.h"
#include "core/store_mirror.h"
#include "secateur/error.h"

namespace secateur {
namespace {

constexpr int64_t kLine = 64;  // bytes
constexpr int64_t kMostElements = int64_t{1} << 44;

// Stores by id, for threads that were told an id. Guarded by `mutex`; entries of dead stores go
// when the next one is made.
struct Registry {
  std::mutex mutex;
  int64_t next = 1;
  std::unordered_map<int64_t, std::weak_ptr<ParameterStore>> stores;
};

Registry& Stores() {
  static Registry registry;
  return registry;
}

std::unique_ptr<KeyBuffer> Filled(int64_t bytes, int value) {
  auto buffer = std::make_unique<KeyBuffer>(bytes);
  std::memset(buffer->data(), value, static_cast<size_t>(bytes));
  return buffer;
}

}  // namespace

ParameterStore::~ParameterStore() = default;

ParameterStore::ParameterStore(std::vector<StoreTensor> tensors) : tensors_(std::move(tensors)) {
  constexpr int64_t kElements = kLine / static_cast<int64_t>(sizeof(float));
  for (const StoreTensor& tensor : tensors_) {
    if (tensor.count < 0 || tensor.count > kMostElements - padded_) {
      throw Error("INVALID_OPTION",
                  "Expected the sizes of tensors to be counts of floats that fit "
                  "memory, got " +
                      std::to_string(tensor.count) + " for " + tensor.name);
    }
    offsets_.push_back(padded_);
    elements_ += tensor.count;
    padded_ += (tensor.count + kElements - 1) / kElements * kElements;
  }
  Allocate(Slot::kParameters);
  Allocate(Slot::kGradients);
}

std::shared_ptr<ParameterStore> ParameterStore::Create(std::vector<StoreTensor> tensors) {
  std::shared_ptr<ParameterStore> store(new ParameterStore(std::move(tensors)));
  Registry& registry = Stores();
  const std::scoped_lock lock(registry.mutex);
  std::erase_if(registry.stores, [](const auto& entry) { return entry.second.expired(); });
  store->id_ = registry.next++;
  registry.stores.emplace(store->id_, store);
  return store;
}

std::shared_ptr<ParameterStore> ParameterStore::Open(int64_t id) {
  Registry& registry = Stores();
  const std::scoped_lock lock(registry.mutex);
  const auto found = registry.stores.find(id);
  std::shared_ptr<ParameterStore> store =
      found == registry.stores.end() ? nullptr : found->second.lock();
  if (store == nullptr) {
    throw Error("INVALID_OPTION",
                "Expected the id of a parameter store that is still held somewhere, got " +
                    std::to_string(id));
  }
  return store;
}

void ParameterStore::Allocate(Slot slot) {
  std::unique_ptr<KeyBuffer>& memory = slots_[static_cast<size_t>(slot)];
  if (memory == nullptr) memory = Filled(padded_ * static_cast<int64_t>(sizeof(float)), 0);
}

void ParameterStore::AllocateMask() {
  if (masked_) return;
  if (mask_ == nullptr) mask_ = std::make_unique<KeyBuffer>(padded_);
  std::memset(mask_->data(), 1, static_cast<size_t>(padded_));
  masked_ = true;
  ++mask_revision;
}

void ParameterStore::BringHome(Slot slot) {
  if (mirror != nullptr) mirror->BringHome(slot);
}

float* ParameterStore::Data(Slot slot, size_t tensor) const {
  const std::unique_ptr<KeyBuffer>& memory = slots_[static_cast<size_t>(slot)];
  if (memory == nullptr) return nullptr;
  return reinterpret_cast<float*>(memory->data()) + (tensors_.empty() ? 0 : offsets_[tensor]);
}

uint8_t* ParameterStore::MaskBytes() const {
  return masked_ ? reinterpret_cast<uint8_t*>(mask_->data()) : nullptr;
}

uint8_t* ParameterStore::Mask(size_t tensor) const {
  if (!masked_ || !IsMasked(tensor)) return nullptr;
  return MaskBytes() + offsets_[tensor];
}

uint8_t* ParameterStore::SupportBytes() const {
  return support_ ? reinterpret_cast<uint8_t*>(support_->data()) : nullptr;
}

void ParameterStore::AllocateSupport() {
  if (support_ == nullptr) support_ = Filled(padded_, 1);
  ++mask_revision;
}

}  // namespace secateur
