#include "core/staging.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"

namespace secateur {
namespace {

constexpr int64_t kPieceBytes = int64_t{1} << 20;

void CopyShared(std::byte* to, const std::byte* from, int64_t bytes, int threads) {
  const int64_t pieces = (bytes + kPieceBytes - 1) / kPieceBytes;
  ParallelFor(ThreadsFor(bytes, threads), pieces, [&](int64_t i, int) {
    const int64_t at = i * kPieceBytes;
    std::memcpy(to + at, from + at, static_cast<size_t>(std::min(kPieceBytes, bytes - at)));
  });
}

}  // namespace

Staging::Staging(SharedQueue queue, int64_t most_bytes)
    : queue_(std::move(queue)),
      most_bytes_(most_bytes),
      turns_{Turn(*queue_, most_bytes), Turn(*queue_, most_bytes)} {
  for (Turn& turn : turns_) queue_->Check(queue_->api().create_event(&turn.done), "an event");
}

// Pinned memory must outlive the copies that it takes part in.
Staging::~Staging() {
  queue_->api().wait_stream(queue_->stream());
  for (const Turn& turn : turns_) queue_->api().destroy_event(turn.done);
}

void Staging::Record(Turn& turn) const {
  queue_->Check(queue_->api().record(turn.done, queue_->stream()), "a copy");
  turn.used = true;
}

void Staging::Await(Turn& turn) const {
  if (turn.used) queue_->Check(queue_->api().wait_event(turn.done), "a copy");
  turn.used = false;
}

void Staging::Upload(std::byte* memory, const std::vector<StagedSpan>& spans, const Fill& fill) {
  for (size_t i = 0; i < spans.size(); ++i) {
    Turn& turn = turns_[i % 2];
    Await(turn);
    fill(i, turn.pinned.data());
    queue_->Check(queue_->api().upload(memory + spans[i].offset, turn.pinned.data(), spans[i].bytes,
                                       queue_->stream()),
                  "a copy to it");
    Record(turn);
  }
}

void Staging::Download(const MemoryOf& memory_of, const std::vector<StagedSpan>& spans,
                       const Take& take) {
  for (size_t i = 0; i <= spans.size(); ++i) {
    if (i < spans.size()) {
      Turn& turn = turns_[i % 2];
      Await(turn);
      queue_->Check(queue_->api().download(turn.pinned.data(), memory_of(i), spans[i].bytes,
                                           queue_->stream()),
                    "a copy from it");
      Record(turn);
    }
    if (i == 0) continue;
    Turn& before = turns_[(i - 1) % 2];
    Await(before);
    take(i - 1, before.pinned.data());
  }
}

std::vector<StagedSpan> Staging::SpansOf(int64_t bytes) const {
  std::vector<StagedSpan> spans;
  for (int64_t at = 0; at < bytes; at += most_bytes_)
    spans.push_back({at, std::min(most_bytes_, bytes - at)});
  return spans;
}

void Staging::Upload(std::byte* memory, const std::byte* from, int64_t bytes, int threads) {
  const std::vector<StagedSpan> spans = SpansOf(bytes);
  Upload(memory, spans, [&](size_t i, std::byte* pinned) {
    CopyShared(pinned, from + spans[i].offset, spans[i].bytes, threads);
  });
}

void Staging::Download(const std::byte* memory, std::byte* to, int64_t bytes, int threads) {
  const std::vector<StagedSpan> spans = SpansOf(bytes);
  Download([&](size_t i) { return memory + spans[i].offset; }, spans,
           [&](size_t i, const std::byte* pinned) {
             CopyShared(to + spans[i].offset, pinned, spans[i].bytes, threads);
           });
}

}  // namespace secateur
