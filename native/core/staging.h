// Copies between the host's ordinary memory and a device through two pinned buffers that take
// turns: while one is filled or emptied by threads, the other is on its way.
#ifndef SECATEUR_CORE_STAGING_H_
#define SECATEUR_CORE_STAGING_H_

#include <array>
#include <functional>
#include <vector>

#include "core/device_memory.h"

namespace secateur {

// A stretch of device memory, from where a copy's memory begins.
struct StagedSpan {
  int64_t offset;
  int64_t bytes;
};

class Staging {
 public:
  // Buffers of `most_bytes`; no span may be longer.
  Staging(SharedQueue queue, int64_t most_bytes);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // fill(span, pinned) writes what goes to memory + offset. The last copies may still be under way
  // on the queue at the return.
  using Fill = std::function<void(size_t span, std::byte* pinned)>;
  void Upload(std::byte* memory, const std::vector<StagedSpan>& spans, const Fill& fill);

  // take(span, pinned) reads what was where memory_of(span) said, which may queue work that puts it
  // there. Returns when all is taken.
  using MemoryOf = std::function<const std::byte*(size_t span)>;
  using Take = std::function<void(size_t span, const std::byte* pinned)>;
  void Download(const MemoryOf& memory_of, const std::vector<StagedSpan>& spans, const Take& take);

  // The same from and to memory in one piece.
  void Upload(std::byte* memory, const std::byte* from, int64_t bytes, int threads);
  void Download(const std::byte* memory, std::byte* to, int64_t bytes, int threads);

 private:
  // One of the two: its buffer, and when the device is done with it.
  struct Turn {
    PinnedBuffer pinned;
    cuda::Event done = nullptr;
    bool used = false;

    Turn(const DeviceQueue& queue, int64_t bytes) : pinned(queue, bytes) {}
  };

  void Record(Turn& turn) const;
  void Await(Turn& turn) const;
  std::vector<StagedSpan> SpansOf(int64_t bytes) const;

  SharedQueue queue_;
  int64_t most_bytes_;
  std::array<Turn, 2> turns_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_STAGING_H_
