#include "core/write_plan.h"

#include <algorithm>
#include <utility>

#include "core/chunks.h"

namespace secateur {
namespace {

std::vector<PlacedRun> PlaceRuns(const std::vector<FileTensor>& tensors) {
  std::vector<PlacedRun> placed;
  for (size_t t = 0; t < tensors.size(); ++t) {
    int64_t first = 0;
    for (size_t r = 0; r < tensors[t].runs.size(); ++r) {
      const FileRange& range = tensors[t].runs[r];
      if (range.bytes > 0) placed.push_back({range, static_cast<int>(t), r, first});
      first += range.bytes / ElementBytes(tensors[t].dtype);
    }
  }
  const auto before = [](const PlacedRun& a, const PlacedRun& b) {
    return std::pair(a.range.source, a.range.offset) < std::pair(b.range.source, b.range.offset);
  };
  std::sort(placed.begin(), placed.end(), before);
  for (size_t i = 1; i < placed.size(); ++i) {
    const FileRange& last = placed[i - 1].range;
    if (last.source == placed[i].range.source &&
        last.offset + last.bytes > placed[i].range.offset) {
      throw Error("INVALID_MODEL", "Expected tensors not to overlap, but \"" +
                                       tensors[placed[i - 1].tensor].name + "\" and \"" +
                                       tensors[placed[i].tensor].name + "\" share bytes");
    }
  }
  return placed;
}

}  // namespace

WritePlan::WritePlan(const PruneJob& job, OpenFiles& files)
    : job_(job), files_(files), runs_(PlaceRuns(job.tensors)) {
  for (size_t output = 0; output < job.outputs.size(); ++output) {
    int64_t& size = sizes_.emplace_back(0);
    for (const OutputPiece& piece : job.outputs[output].pieces) {
      size += piece.range.source < 0 ? AddLiteral(static_cast<int>(output), size, piece.literal)
                                     : AddRange(static_cast<int>(output), size, piece.range);
    }
  }
  if (!job.outputs.empty() && placed_ != runs_.size()) {
    throw Error("INTERNAL", "The plan writes " + std::to_string(placed_) +
                                " runs of weights, not " + std::to_string(runs_.size()));
  }
}

int64_t WritePlan::AddLiteral(int output, int64_t offset, const std::string& literal) {
  const auto bytes = static_cast<int64_t>(literal.size());
  const auto* memory = reinterpret_cast<const std::byte*>(literal.data());
  stretches_.push_back({output, offset, bytes, nullptr, 0, memory, -1, 0});
  return bytes;
}

int64_t WritePlan::AddRange(int output, int64_t offset, const FileRange& range) {
  const int64_t shift = offset - range.offset;  // from source to output
  int64_t at = range.offset;
  const int64_t end = range.offset + range.bytes;
  auto run = std::lower_bound(
      runs_.begin(), runs_.end(), range, [](const PlacedRun& a, const FileRange& b) {
        return std::pair(a.range.source, a.range.offset) < std::pair(b.source, b.offset);
      });
  for (; run != runs_.end() && run->range.source == range.source && run->range.offset < end;
       ++run) {
    if (run->range.offset + run->range.bytes > end)
      throw Error("INTERNAL", "A piece of the plan cuts a run");
    AddCopy(output, at + shift, range.source, at, run->range.offset - at, nullptr);
    AddRun(output, run->range.offset + shift, *run);
    at = run->range.offset + run->range.bytes;
    ++placed_;
  }
  AddCopy(output, at + shift, range.source, at, end - at, nullptr);
  return range.bytes;
}

void WritePlan::AddRun(int output, int64_t offset, const PlacedRun& run) {
  if (job_.tensors[run.tensor].encoding == Encoding::kVarint) {
    const std::vector<std::byte>& bytes = files_.encoded(run.tensor, run.run);
    stretches_.push_back(
        {output, offset, run.range.bytes, nullptr, 0, bytes.data(), run.tensor, 0});
    return;
  }
  AddCopy(output, offset, run.range.source, run.range.offset, run.range.bytes, &run);
}

void WritePlan::AddCopy(int output, int64_t offset, int source, int64_t source_offset,
                        int64_t bytes, const PlacedRun* run) {
  const int64_t element = run ? ElementBytes(job_.tensors[run->tensor].dtype) : 1;
  for (int64_t done = 0; done < bytes; done += kChunkBytes) {
    stretches_.push_back({output, offset + done, std::min(kChunkBytes, bytes - done),
                          &files_.source(source), source_offset + done, nullptr,
                          run ? run->tensor : -1, run ? run->first + done / element : 0});
  }
}
}  // namespace secateur
