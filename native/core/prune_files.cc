#include "secateur/prune_files.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>

#include "core/chunks.h"
#include "core/file.h"
#include "core/key_buffer.h"
#include "core/masking.h"
#include "core/open_files.h"
#include "core/parallel.h"
#include "core/varint.h"
#include "core/write_plan.h"
#include "secateur/mask.h"

namespace secateur {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void ZeroEncoded(const PruneJob& job, OpenFiles& files, const Masking& masking) {
  for (size_t t = 0; t < job.tensors.size(); ++t) {
    if (job.tensors[t].encoding != Encoding::kVarint) continue;
    int64_t first = 0;
    for (size_t r = 0; r < job.tensors[t].runs.size(); ++r) {
      std::vector<uint16_t> values;
      std::vector<std::byte>& bytes = files.encoded(static_cast<int>(t), r);
      DecodeVarints(bytes, values);
      const std::vector<uint8_t> keep = masking.Keep(t, first, values);
      ZeroVarints(bytes, [&](int64_t i) { return keep[i] != 0; });
      first += static_cast<int64_t>(values.size());
    }
  }
}

// Selects, of groups where the job has some.
void SelectIn(const PruneJob& job, const OpenFiles& files, PruneResult& result) {
  if (!job.grouping) {
    result.selections = Select(files.tensors(), job.select);
    return;
  }
  result.groups = SelectGroups(files.tensors(), *job.grouping, job.select);
  const GroupSelection& groups = *result.groups;
  Selection counts{groups.ratio, groups.threshold, groups.removed, {}};
  for (const TensorGroups& tensor : groups.tensors) {
    counts.tensors.push_back({0, 0, 0, groups.threshold, tensor.removed});
  }
  result.selections = {counts};
}

class Writer {
 public:
  Writer(const PruneJob& job, const WritePlan& plan, const Masking& masking)
      : job_(job), plan_(plan), masking_(masking), backend_(*job.select.backend) {
    int64_t total = 0;
    for (int64_t size : plan.sizes()) total += size;
    total_ = total;
    threads_ = ThreadsFor(total, job.select.threads);
    for (size_t i = 0; i < job.outputs.size(); ++i)
      outputs_.emplace_back(job.outputs[i].path, plan.sizes()[i]);
  }

  void Write() {
    ForStretches(Phase::kWrite, total_, [&](const Stretch& stretch, std::byte* scratch) {
      const std::byte* bytes = stretch.memory;
      if (stretch.source) {
        stretch.source->Read(stretch.source_offset, stretch.bytes, scratch);
        bytes = scratch;
        if (stretch.tensor >= 0) {
          const DType dtype = job_.tensors[stretch.tensor].dtype;
          masking_.Apply(stretch.tensor, dtype, stretch.first, scratch,
                         stretch.bytes / ElementBytes(dtype));
        }
      }
      outputs_[stretch.output].Write(stretch.offset, bytes, stretch.bytes);
    });
  }

  // Reads the weights back from the written files.
  std::vector<int64_t> CountZeros() {
    std::vector<std::atomic<int64_t>> zeros(job_.tensors.size());
    int64_t total = 0;
    for (const Stretch& stretch : plan_.stretches())
      total += stretch.tensor >= 0 ? stretch.bytes : 0;
    ForStretches(Phase::kCheck, total, [&](const Stretch& stretch, std::byte* scratch) {
      if (stretch.tensor < 0) return;
      const DType dtype = job_.tensors[stretch.tensor].dtype;
      if (stretch.source) {
        outputs_[stretch.output].ReadBack(stretch.offset, scratch, stretch.bytes);
        zeros[stretch.tensor] +=
            ZerosInStretch(backend_, dtype, scratch, stretch.bytes / ElementBytes(dtype));
      } else {
        std::vector<std::byte> bytes(static_cast<size_t>(stretch.bytes));
        outputs_[stretch.output].ReadBack(stretch.offset, bytes.data(), stretch.bytes);
        std::vector<uint16_t> values;
        DecodeVarints(bytes, values);
        const auto* data = reinterpret_cast<const std::byte*>(values.data());
        zeros[stretch.tensor] +=
            ZerosInStretch(backend_, dtype, data, static_cast<int64_t>(values.size()));
      }
    });
    return {zeros.begin(), zeros.end()};
  }

  void Commit() {
    for (OutputFile& output : outputs_) output.Commit();
  }

 private:
  template <class Body>
  void ForStretches(Phase phase, int64_t total, const Body& body) {
    Monitor* monitor = job_.select.monitor;
    if (monitor) monitor->Begin(phase, total);
    std::deque<KeyBuffer> scratch;
    for (int worker = 0; worker < threads_; ++worker) scratch.emplace_back(kChunkBytes);
    const std::vector<Stretch>& stretches = plan_.stretches();
    ParallelFor(threads_, static_cast<int64_t>(stretches.size()), [&](int64_t i, int worker) {
      if (monitor) monitor->ThrowIfCancelled();
      body(stretches[i], scratch[worker].data());
      if (monitor && (phase == Phase::kWrite || stretches[i].tensor >= 0))
        monitor->Advance(stretches[i].bytes);
    });
  }

  const PruneJob& job_;
  const WritePlan& plan_;
  const Masking& masking_;
  const Backend& backend_;
  int64_t total_ = 0;
  int threads_ = 1;
  std::deque<OutputFile> outputs_;
};

// The written file must hold the zeros that were planned: where the threshold is above zero just
// those, else the zeros that were there before too.
void CheckZeros(const PruneJob& job, const Selection& selection,
                const std::vector<int64_t>& zeros) {
  for (size_t t = 0; t < zeros.size(); ++t) {
    const TensorThreshold& threshold = selection.tensors[t];
    const bool right =
        threshold.tie_begin > 0 ? zeros[t] == threshold.removed : zeros[t] >= threshold.removed;
    if (right) continue;
    throw Error("INTERNAL", "Expected " + std::to_string(threshold.removed) +
                                " zeros in the written tensor \"" + job.tensors[t].name +
                                "\", got " + std::to_string(zeros[t]) + "; nothing was replaced");
  }
}

// Adds up what body(chunk, dtype, scratch) returns by tensor.
template <class Body>
std::vector<int64_t> CountChunks(const OpenFiles& files, const SelectOptions& options,
                                 const Body& body) {
  const std::vector<Tensor>& tensors = files.tensors();
  const std::vector<Chunk> chunks = MakeChunks(tensors);
  const int64_t total = TotalBytes(tensors);
  const int threads = ThreadsFor(total, options.threads);
  if (options.monitor) options.monitor->Begin(Phase::kCount, total);
  std::vector<std::atomic<int64_t>> counts(tensors.size());
  std::deque<KeyBuffer> scratch;
  for (int worker = 0; worker < threads; ++worker) scratch.emplace_back(kChunkBytes);
  ParallelFor(threads, static_cast<int64_t>(chunks.size()), [&](int64_t i, int worker) {
    if (options.monitor) options.monitor->ThrowIfCancelled();
    const DType dtype = tensors[chunks[i].tensor].dtype;
    counts[chunks[i].tensor] += body(chunks[i], dtype, scratch[worker].data());
    if (options.monitor) options.monitor->Advance(chunks[i].count * ElementBytes(dtype));
  });
  return {counts.begin(), counts.end()};
}

// The zeros of each tensor if it were masked.
std::vector<int64_t> ZerosAfter(const OpenFiles& files, const SelectOptions& options,
                                const Masking& masking) {
  return CountChunks(files, options, [&](const Chunk& chunk, DType dtype, std::byte* scratch) {
    const int64_t bytes = chunk.count * ElementBytes(dtype);
    const std::byte* weights = chunk.source->Read(chunk.offset, bytes, scratch);
    if (weights != scratch) std::memcpy(scratch, weights, static_cast<size_t>(bytes));
    return masking.Apply(chunk.tensor, dtype, chunk.first, scratch, chunk.count);
  });
}

}  // namespace

PruneResult PruneFiles(const PruneJob& given) {
  PruneJob job = given;
  if (job.select.backend == nullptr) job.select.backend = &ActiveBackend();
  if (!job.outputs.empty() && job.select.ratios.size() != 1) {
    throw Error("INVALID_OPTION", "Expected one ratio when files are to be written, got " +
                                      std::to_string(job.select.ratios.size()));
  }
  PruneResult result;
  const double start = Seconds();
  OpenFiles files(job.sources, job.tensors);
  WritePlan plan(job, files);
  result.threads = ThreadsFor(TotalBytes(files.tensors()), job.select.threads);
  SelectIn(job, files, result);
  result.select_seconds = Seconds() - start;
  const std::shared_ptr<const Support> support =
      result.groups ? std::exchange(result.groups->support, nullptr) : nullptr;
  if (job.outputs.empty()) {
    if (support != nullptr) {
      const Masking masking(*job.select.backend, result.selections[0], support.get());
      result.zeros = ZerosAfter(files, job.select, masking);
    }
    files.CheckUnchanged();
    return result;
  }
  const Selection& selection = result.selections[0];
  const Masking masking(*job.select.backend, selection, support.get());
  ZeroEncoded(job, files, masking);
  Writer writer(job, plan, masking);
  writer.Write();
  result.zeros = writer.CountZeros();
  CheckZeros(job, selection, result.zeros);
  files.CheckUnchanged();
  if (job.select.monitor) job.select.monitor->ThrowIfCancelled();
  writer.Commit();
  result.apply_seconds = Seconds() - start - result.select_seconds;
  return result;
}

std::vector<int64_t> CountZerosInFiles(const std::vector<FileSourceSpec>& sources,
                                       const std::vector<FileTensor>& tensors,
                                       const SelectOptions& options) {
  const OpenFiles files(sources, tensors);
  const Backend& backend = options.backend ? *options.backend : ActiveBackend();
  return CountChunks(files, options, [&](const Chunk& chunk, DType dtype, std::byte* scratch) {
    const int64_t bytes = chunk.count * ElementBytes(dtype);
    const std::byte* weights = chunk.source->Read(chunk.offset, bytes, scratch);
    return ZerosInStretch(backend, dtype, weights, chunk.count);
  });
}

}  // namespace secateur
