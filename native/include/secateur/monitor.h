// How a caller watches and cancels a long call. One monitor serves one call at a time; all members
// may be used from any thread.
#ifndef SECATEUR_MONITOR_H_
#define SECATEUR_MONITOR_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "secateur/error.h"

namespace secateur {

enum class Phase : uint8_t { kSelect, kWrite, kCheck, kCount };

// Set by the caller, from any thread, to end a call early.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

class Monitor {
 public:
  explicit Monitor(CancelFlag cancelled = std::make_shared<std::atomic<bool>>(false))
      : cancelled_(std::move(cancelled)) {}
  virtual ~Monitor() = default;

  void Cancel() { cancelled_->store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_->load(std::memory_order_relaxed); }

  // Called by the worker threads, once a chunk.
  void ThrowIfCancelled() const {
    if (cancelled()) throw Error("ABORTED", "Aborted; nothing was written");
  }
  void Begin(Phase phase, int64_t total_bytes) {
    done_.store(0, std::memory_order_relaxed);
    total_.store(total_bytes, std::memory_order_relaxed);
    phase_.store(phase, std::memory_order_relaxed);
    OnProgress();
  }
  void Advance(int64_t bytes) {
    done_.fetch_add(bytes, std::memory_order_relaxed);
    OnProgress();
  }

  Phase phase() const { return phase_.load(std::memory_order_relaxed); }
  int64_t done() const { return done_.load(std::memory_order_relaxed); }
  int64_t total() const { return total_.load(std::memory_order_relaxed); }

 protected:
  // Runs on whichever thread made the progress; must be cheap and thread-safe.
  virtual void OnProgress() {}

 private:
  CancelFlag cancelled_;
  std::atomic<Phase> phase_{Phase::kSelect};
  std::atomic<int64_t> done_{0};
  std::atomic<int64_t> total_{0};
};

}  // namespace secateur

#endif  // SECATEUR_MONITOR_H_
