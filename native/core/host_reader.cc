#include "core/host_reader.h"

#include <deque>

#include "core/parallel.h"
#include "core/tally.h"
#include "core/values.h"
#include "secateur/error.h"

namespace secateur {
namespace {

const HostPass& Own(const ClassPass& pass) { return static_cast<const HostPass&>(pass); }

class HostTallies final : public Tallies {
 public:
  HostTallies(const PassContext& context, const std::vector<RankedWeight>& found)
      : context_(context), found_(found), tallies_(TallyAll(context, found)) {
    for (const std::vector<Tally>& chunks : tallies_) {
      std::vector<Tally>& totals = totals_.emplace_back(context.tensors.size(), Tally{0, 0});
      for (size_t c = 0; c < chunks.size(); ++c) totals[context.chunks[c].tensor] += chunks[c];
    }
  }

  Tally Of(size_t threshold, size_t tensor) const override { return totals_[threshold][tensor]; }

  int64_t Cut(size_t threshold, size_t tensor, int64_t kept) const override {
    const std::vector<Tally>& tallies = tallies_[threshold];
    for (size_t c = 0; c < tallies.size(); ++c) {
      if (context_.chunks[c].tensor != static_cast<int>(tensor)) continue;
      if (kept <= tallies[c].ties) return CutInChunk(context_.chunks[c], threshold, kept);
      kept -= tallies[c].ties;
    }
    ThrowChanged();
  }

 private:
  int64_t CutInChunk(const Chunk& chunk, size_t threshold, int64_t kept) const {
    const Tensor& tensor = context_.tensors[chunk.tensor];
    const int64_t bytes = chunk.count * ElementBytes(tensor.dtype);
    const KeyBuffer scratch(bytes);
    const std::byte* elements = chunk.source->Read(chunk.offset, bytes, scratch.data());
    const uint64_t value = found_[threshold].value;
    const uint64_t begin = context_.domain.ToKey(tensor, value);
    const uint64_t end = context_.domain.ToKey(tensor, value + 1);
    return chunk.first +
           CutAmong(context_.backend, tensor.dtype, elements, chunk.count, begin, end, kept);
  }

  const PassContext& context_;
  const std::vector<RankedWeight>& found_;
  std::vector<std::vector<Tally>> tallies_;  // [threshold][chunk]
  std::vector<std::vector<Tally>> totals_;   // [threshold][tensor]
};

}  // namespace

Sample HostReader::Take(int64_t count) const {
  return TakeSample(context().tensors, context().domain, count, context().threads);
}

std::shared_ptr<const ClassPass> HostReader::Pass(Cuts cuts) const {
  return std::make_shared<const HostPass>(context(), std::move(cuts));
}

// The stored keys become tensors in memory, a smaller problem of the same kind.
std::vector<uint64_t> HostReader::ValuesStored(const ClassPass& pass,
                                               const std::vector<StoredRank>& ranks) const {
  std::vector<Tensor> tensors = context().tensors;
  std::deque<MemorySource> sources;
  int64_t count = 0;
  for (Tensor& tensor : tensors) {
    count += tensor.count;
    tensor.count = 0;
    tensor.runs.clear();
  }
  for (size_t c = 0; c < context().chunks.size(); ++c) {
    const HostPass::Segment& segment = Own(pass).StoredBy(static_cast<int64_t>(c));
    if (segment.count == 0) continue;
    Tensor& tensor = tensors[context().chunks[c].tensor];
    const MemorySource& source = sources.emplace_back(segment.keys);
    tensor.runs.push_back({&source, 0, segment.count * ElementBytes(tensor.dtype)});
    tensor.count += segment.count;
  }
  const std::vector<Chunk> chunks = MakeChunks(tensors);
  const int threads = ThreadsFor(TotalBytes(tensors), context().threads);
  const PassContext inner{tensors, chunks, context().domain, context().backend, threads, nullptr};
  std::vector<int64_t> among;
  for (const StoredRank& rank : ranks) among.push_back(rank.among_stored);
  const int64_t stored = pass.stored_count();
  return stored > count / 2 ? SortedValues(inner, stored, among)
                            : ValuesOfRanks(inner, stored, among);
}

std::unique_ptr<Tallies> HostReader::TallyAll(const std::vector<RankedWeight>& found) const {
  return std::make_unique<HostTallies>(context(), found);
}

void HostReader::ThrowNonfinite(const ClassPass& pass) const {
  const size_t infinity = pass.cuts().values.size() - 1;
  for (size_t c = 0; c < context().chunks.size(); ++c) {
    if (Own(pass).AtLeast(static_cast<int64_t>(c), infinity) == 0) continue;
    const Chunk& chunk = context().chunks[c];
    const Tensor& tensor = context().tensors[chunk.tensor];
    const int64_t bytes = chunk.count * ElementBytes(tensor.dtype);
    const KeyBuffer scratch(bytes);
    const std::byte* elements = chunk.source->Read(chunk.offset, bytes, scratch.data());
    ThrowIfNonfiniteIn(tensor, chunk.first, elements, chunk.count);
  }
  ThrowChanged();
}

}  // namespace secateur
