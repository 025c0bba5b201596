// Threads are made for the call and joined before it returns: some 30 microseconds each, nothing to
// clean up when Node exits, and nothing shared between calls.
#include "core/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace secateur {
namespace {

// Below this a second thread costs more than it saves.
constexpr int64_t kBytesPerThread = 4 << 20;

// Neighbouring items that one worker takes in order: two threads that read memory in turns of half
// a megabyte were a fifth slower than two that read a half each.
struct alignas(64) Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;

  // The next item, or -1 when none is left.
  int64_t Take() {
    const int64_t item = next.fetch_add(1, std::memory_order_relaxed);
    return item < end ? item : -1;
  }
};

}  // namespace

int ThreadsFor(int64_t bytes, int requested) {
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const int64_t most = requested > 0 ? requested : cores;
  return static_cast<int>(std::clamp<int64_t>(bytes / kBytesPerThread, 1, most));
}

void ParallelFor(int threads, int64_t items, const std::function<void(int64_t, int)>& body) {
  const auto workers =
      static_cast<int>(std::clamp<int64_t>(threads, 1, std::max<int64_t>(items, 1)));
  std::vector<Share> shares(workers);
  for (int w = 0; w < workers; ++w) {
    shares[w].next = items * w / workers;
    shares[w].end = items * (w + 1) / workers;
  }
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::exception_ptr failure;  // the first, guarded by `mutex`
  const auto work = [&](int worker) {
    try {
      for (int turn = 0; turn < workers;
           ++turn) {  // its own share, then what is left of the others'
        Share& share = shares[(worker + turn) % workers];
        for (int64_t item; !failed.load(std::memory_order_relaxed) && (item = share.Take()) >= 0;) {
          body(item, worker);
        }
      }
    } catch (...) {
      failed.store(true, std::memory_order_relaxed);
      const std::scoped_lock lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> helpers;
  for (int worker = 1; worker < workers; ++worker) {
    try {
      helpers.emplace_back(work, worker);
    } catch (const std::system_error&) {
      break;  // the system has no thread to spare: go on with those that there are
    }
  }
  work(0);
  for (std::thread& helper : helpers) helper.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace secateur
