#include "secateur/prune_files.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>

#include "core/chunks.h"
#include "core/file.h"
#include "core/key_buffer.h"
#include "core/parallel.h"
#include "core/varint.h"
#include "secateur/mask.h"

namespace secateur {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Open files, and the tensors in them as selection wants them. Varint tensors are decoded into
// memory.
class OpenFiles {
 public:
  OpenFiles(const std::vector<FileSourceSpec>& specs, const std::vector<FileTensor>& tensors) {
    for (const FileSourceSpec& spec : specs) sources_.emplace_back(spec.path, spec.size);
    for (const FileTensor& tensor : tensors) {
      tensors_.push_back({tensor.name, tensor.dtype, tensor.factor, tensor.count, {}});
      encoded_.emplace_back();
      for (const FileRange& range : tensor.runs) {
        CheckRange(specs, range);
        if (tensor.encoding == Encoding::kFlat) {
          tensors_.back().runs.push_back({&sources_[range.source], range.offset, range.bytes});
        } else {
          Decode(range);
        }
      }
      CheckCount(tensors_.back());
    }
  }

  const std::vector<Tensor>& tensors() const { return tensors_; }
  const FileSource& source(int index) const { return sources_[index]; }
  // The bytes of a varint tensor's run.
  std::vector<std::byte>& encoded(int tensor, size_t run) { return encoded_[tensor][run]; }

  void CheckUnchanged() const {
    for (const FileSource& source : sources_) source.CheckUnchanged();
  }

 private:
  static void CheckRange(const std::vector<FileSourceSpec>& specs, const FileRange& range) {
    const bool known = range.source >= 0 && static_cast<size_t>(range.source) < specs.size();
    if (!known || range.offset < 0 || range.bytes < 0 ||
        range.offset > specs[range.source].size - range.bytes) {
      throw Error("INTERNAL", "A byte range of the plan lies outside its file");
    }
  }

  void Decode(const FileRange& range) {
    std::vector<std::byte>& bytes = encoded_.back().emplace_back(static_cast<size_t>(range.bytes));
    sources_[range.source].Read(range.offset, range.bytes, bytes.data());
    std::vector<uint16_t>& values = decoded_.emplace_back();
    if (!DecodeVarints(bytes, values)) {
      throw Error("INVALID_MODEL",
                  "Expected whole varints as weights of tensor \"" + tensors_.back().name + "\"");
    }
    const MemorySource& memory = memory_.emplace_back(reinterpret_cast<std::byte*>(values.data()));
    tensors_.back().runs.push_back(
        {&memory, 0, static_cast<int64_t>(values.size() * sizeof(uint16_t))});
  }

  static void CheckCount(const Tensor& tensor) {
    int64_t bytes = 0;
    for (const Run& run : tensor.runs) bytes += run.bytes;
    if (bytes == tensor.count * ElementBytes(tensor.dtype)) return;
    throw Error("INVALID_MODEL", "Expected " + std::to_string(tensor.count) +
                                     " weights in tensor \"" + tensor.name + "\", got " +
                                     std::to_string(bytes / ElementBytes(tensor.dtype)))
        .WithElement(tensor.name, -1);
  }

  std::deque<FileSource> sources_;
  std::vector<Tensor> tensors_;
  std::vector<std::vector<std::vector<std::byte>>> encoded_;  // [tensor][run], of varint tensors
  std::deque<std::vector<uint16_t>> decoded_;
  std::deque<MemorySource> memory_;
};

// A stretch of one output: bytes of a source, masked when they belong to a flat tensor, or bytes in
// memory.
struct Stretch {
  int output;
  int64_t offset;  // in the output
  int64_t bytes;
  const FileSource* source;  // null: `memory`
  int64_t source_offset;
  const std::byte* memory;
  int tensor;     // -1: no weights
  int64_t first;  // index of the first weight
};

// A run of a tensor, as found when walking through a source.
struct PlacedRun {
  FileRange range;
  int tensor;
  size_t run;
  int64_t first;
};

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

// Cuts the outputs into stretches. Every run must lie inside one copied range, or its weights would
// be lost.
class WritePlan {
 public:
  WritePlan(const PruneJob& job, OpenFiles& files)
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

  const std::vector<Stretch>& stretches() const { return stretches_; }
  const std::vector<int64_t>& sizes() const { return sizes_; }

 private:
  int64_t AddLiteral(int output, int64_t offset, const std::string& literal) {
    const auto bytes = static_cast<int64_t>(literal.size());
    const auto* memory = reinterpret_cast<const std::byte*>(literal.data());
    stretches_.push_back({output, offset, bytes, nullptr, 0, memory, -1, 0});
    return bytes;
  }

  int64_t AddRange(int output, int64_t offset, const FileRange& range) {
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

  void AddRun(int output, int64_t offset, const PlacedRun& run) {
    if (job_.tensors[run.tensor].encoding == Encoding::kVarint) {
      const std::vector<std::byte>& bytes = files_.encoded(run.tensor, run.run);
      stretches_.push_back(
          {output, offset, run.range.bytes, nullptr, 0, bytes.data(), run.tensor, 0});
      return;
    }
    AddCopy(output, offset, run.range.source, run.range.offset, run.range.bytes, &run);
  }

  void AddCopy(int output, int64_t offset, int source, int64_t source_offset, int64_t bytes,
               const PlacedRun* run) {
    const int64_t element = run ? ElementBytes(job_.tensors[run->tensor].dtype) : 1;
    for (int64_t done = 0; done < bytes; done += kChunkBytes) {
      stretches_.push_back({output, offset + done, std::min(kChunkBytes, bytes - done),
                            &files_.source(source), source_offset + done, nullptr,
                            run ? run->tensor : -1, run ? run->first + done / element : 0});
    }
  }

  const PruneJob& job_;
  OpenFiles& files_;
  std::vector<PlacedRun> runs_;
  size_t placed_ = 0;
  std::vector<Stretch> stretches_;
  std::vector<int64_t> sizes_;
};

void ZeroEncoded(const PruneJob& job, OpenFiles& files, const Selection& selection) {
  for (size_t t = 0; t < job.tensors.size(); ++t) {
    if (job.tensors[t].encoding != Encoding::kVarint) continue;
    int64_t first = 0;
    for (size_t r = 0; r < job.tensors[t].runs.size(); ++r) {
      std::vector<uint16_t> values;
      std::vector<std::byte>& bytes = files.encoded(static_cast<int>(t), r);
      DecodeVarints(bytes, values);
      const TensorThreshold& threshold = selection.tensors[t];
      ZeroVarints(bytes, [&](int64_t i) {
        const auto key = static_cast<uint64_t>(values[i] & 0x7fff);
        return key >= threshold.tie_end ||
               (key >= threshold.tie_begin && first + i < threshold.tie_cut);
      });
      first += static_cast<int64_t>(values.size());
    }
  }
}

class Writer {
 public:
  Writer(const PruneJob& job, const WritePlan& plan, const Selection& selection)
      : job_(job), plan_(plan), selection_(selection), backend_(*job.select.backend) {
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
          MaskStretch(backend_, dtype, selection_.tensors[stretch.tensor], stretch.first, scratch,
                      scratch, stretch.bytes / ElementBytes(dtype));
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
  const Selection& selection_;
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
  result.selections = Select(files.tensors(), job.select);
  result.select_seconds = Seconds() - start;
  if (job.outputs.empty()) {
    files.CheckUnchanged();
    return result;
  }
  const Selection& selection = result.selections[0];
  ZeroEncoded(job, files, selection);
  Writer writer(job, plan, selection);
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
  const std::vector<Chunk> chunks = MakeChunks(files.tensors());
  const Backend& backend = options.backend ? *options.backend : ActiveBackend();
  const int64_t total = TotalBytes(files.tensors());
  const int threads = ThreadsFor(total, options.threads);
  if (options.monitor) options.monitor->Begin(Phase::kCount, total);
  std::vector<std::atomic<int64_t>> zeros(tensors.size());
  std::deque<KeyBuffer> scratch;
  for (int worker = 0; worker < threads; ++worker) scratch.emplace_back(kChunkBytes);
  ParallelFor(threads, static_cast<int64_t>(chunks.size()), [&](int64_t i, int worker) {
    const Chunk& chunk = chunks[i];
    const DType dtype = tensors[chunk.tensor].dtype;
    const int64_t bytes = chunk.count * ElementBytes(dtype);
    if (options.monitor) options.monitor->ThrowIfCancelled();
    const std::byte* weights = chunk.source->Read(chunk.offset, bytes, scratch[worker].data());
    zeros[chunk.tensor] += ZerosInStretch(backend, dtype, weights, chunk.count);
    if (options.monitor) options.monitor->Advance(bytes);
  });
  return {zeros.begin(), zeros.end()};
}

}  // namespace secateur
