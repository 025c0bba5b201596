// The unit of work is a slab: some rows of a tensor, all their columns. A slab has blocks to
// itself, so nothing is merged between threads; within it, elements are added in order of their
// index in pieces that depend on nothing but the geometry, so sums have the same bits always.
#include "core/group_sums.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <limits>

#include "core/block_grid.h"
#include "core/chunks.h"
#include "core/elements.h"
#include "core/key_buffer.h"
#include "core/parallel.h"
#include "core/score.h"

namespace secateur {
namespace {

constexpr int64_t kPiece = int64_t{16} << 10;      // elements read at once
constexpr int64_t kSlab = int64_t{8} << 10;        // elements side by side that a slab should have
constexpr int64_t kKernelFrom = 16;                // shorter runs are summed one by one
constexpr int64_t kScratchBytes = kPiece * 2 * 8;  // as they are, and as floats or doubles

struct Slab {
  size_t tensor;
  int64_t batch;
  int64_t row;
  int64_t rows;
};

std::vector<Slab> MakeSlabs(const std::vector<GroupedTensor>& grouped) {
  std::vector<Slab> slabs;
  for (size_t t = 0; t < grouped.size(); ++t) {
    const BlockGrid grid(grouped[t]);
    if (grouped[t].follows || grid.view().count() == 0) continue;
    const int64_t step =
        std::max<int64_t>(1, kSlab / grid.view().inner / grid.block_rows()) * grid.block_rows();
    for (int64_t batch = 0; batch < grid.view().batches; ++batch) {
      for (int64_t row = 0; row < grid.view().rows; row += step) {
        slabs.push_back({t, batch, row, std::min(step, grid.view().rows - row)});
      }
    }
  }
  return slabs;
}

double SumSquares(const OptimizerKernels& kernels, const float* x, int64_t count) {
  return kernels.sum_squares(x, count);
}

double SumSquares(const OptimizerKernels&, const double* x, int64_t count) {
  double sums[kKernelFrom] = {};
  for (int64_t i = 0; i < count; ++i) sums[i % kKernelFrom] += x[i] * x[i];
  double sum = 0;
  for (double each : sums) sum += each;
  return sum;
}

void AddSquares(const OptimizerKernels& kernels, double* sums, const float* x, int64_t count) {
  kernels.add_squares(sums, x, count);
}

void AddSquares(const OptimizerKernels&, double* sums, const double* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) sums[i] += x[i] * x[i];
}

// Adds the squares of x, the elements from `first` on, to the sums of their blocks.
template <class Value>
void AddPiece(const OptimizerKernels& kernels, const BlockGrid& grid, int64_t first, const Value* x,
              int64_t count, double* sums) {
  const auto square = [](Value value) { return static_cast<double>(value) * value; };
  grid.ForRuns(
      first, count, [&](int64_t batch, int64_t row, int64_t column, int64_t at, int64_t run) {
        const Value* values = x + at;
        if (grid.IsColumnOfBlocks()) {
          return AddSquares(kernels, sums + grid.At(batch, row, column), values, run);
        }
        grid.ForParts(batch, row, column, run, [&](int64_t block, int64_t begin, int64_t part) {
          if (part < kKernelFrom) {
            double sum = sums[block];
            for (int64_t i = begin; i < begin + part; ++i) sum += square(values[i]);
            sums[block] = sum;
          } else {
            sums[block] += SumSquares(kernels, values + begin, part);
          }
        });
      });
}

class SumPass {
 public:
  SumPass(const std::vector<Tensor>& tensors, const std::vector<GroupedTensor>& grouped,
          const SelectOptions& options)
      : tensors_(tensors),
        grouped_(grouped),
        options_(options),
        kernels_(options.backend->optimizer) {
    for (const GroupedTensor& tensor : grouped) {
      sums_.emplace_back(tensor.follows ? 0 : BlockGrid(tensor).count(), 0.0);
    }
  }

  std::vector<std::vector<double>> Run() {
    const std::vector<Slab> slabs = MakeSlabs(grouped_);
    const int64_t total = TotalBytes(tensors_);
    const int threads = ThreadsFor(total, options_.threads);
    if (options_.monitor) options_.monitor->Begin(Phase::kSelect, total);
    std::deque<KeyBuffer> scratch;
    for (int worker = 0; worker < threads; ++worker) scratch.emplace_back(kScratchBytes);
    std::atomic<bool> finite{true};
    ParallelFor(threads, static_cast<int64_t>(slabs.size()), [&](int64_t i, int worker) {
      AddSlab(slabs[i], scratch[worker].data());
      if (!AllFinite(slabs[i])) finite = false;
    });
    if (!finite) Nonfinite();
    return std::move(sums_);
  }

 private:
  void AddSlab(const Slab& slab, std::byte* scratch) {
    const BlockGrid grid(grouped_[slab.tensor]);
    const MatrixView& view = grid.view();
    const int64_t count = slab.rows * view.inner;
    for (int64_t outer = 0; outer < view.outer; ++outer) {
      const int64_t first = ((slab.batch * view.outer + outer) * view.rows + slab.row) * view.inner;
      for (int64_t done = 0; done < count; done += kPiece) {
        if (options_.monitor) options_.monitor->ThrowIfCancelled();
        const int64_t part = std::min(kPiece, count - done);
        AddElements(slab.tensor, grid, first + done, part, scratch);
        if (options_.monitor)
          options_.monitor->Advance(part * ElementBytes(tensors_[slab.tensor].dtype));
      }
    }
  }

  void AddElements(size_t t, const BlockGrid& grid, int64_t first, int64_t count,
                   std::byte* scratch) {
    const DType dtype = tensors_[t].dtype;
    const std::byte* bytes = ReadElements(tensors_[t], first, count, scratch);
    double* sums = sums_[t].data();
    if (dtype == DType::kFloat64) {
      return AddPiece(kernels_, grid, first, reinterpret_cast<const double*>(bytes), count, sums);
    }
    const auto* values = reinterpret_cast<const float*>(bytes);
    if (dtype != DType::kFloat32) {
      auto* floats = reinterpret_cast<float*>(scratch + kPiece * 8);
      for (int64_t i = 0; i < count; ++i) floats[i] = ValueAt(dtype, bytes, i);
      values = floats;
    }
    AddPiece(kernels_, grid, first, values, count, sums);
  }

  // Of a half type, exactly; its sign does not matter.
  static float ValueAt(DType dtype, const std::byte* bytes, int64_t index) {
    const uint64_t key = KeyAt(dtype, bytes, index);
    if (key > InfinityKey(dtype)) return std::numeric_limits<float>::quiet_NaN();
    if (key == InfinityKey(dtype)) return std::numeric_limits<float>::infinity();
    return static_cast<float>(KeyValue(dtype, key));
  }

  bool AllFinite(const Slab& slab) const {
    const BlockGrid grid(grouped_[slab.tensor]);
    const auto begin = sums_[slab.tensor].begin() + grid.At(slab.batch, slab.row, 0);
    const int64_t blocks = (slab.rows + grid.block_rows() - 1) / grid.block_rows() * grid.across();
    return std::all_of(begin, begin + blocks, [](double sum) { return std::isfinite(sum); });
  }

  // Sums of finite doubles can overflow, too: such a block ranks highest, as one that stays.
  void Nonfinite() {
    for (size_t t = 0; t < tensors_.size() && !options_.allow_nonfinite; ++t) {
      if (!grouped_[t].follows) ThrowIfNonfinite(tensors_[t]);
    }
    for (std::vector<double>& sums : sums_) {
      for (double& sum : sums) {
        if (!std::isfinite(sum)) sum = std::numeric_limits<double>::infinity();
      }
    }
  }

  const std::vector<Tensor>& tensors_;
  const std::vector<GroupedTensor>& grouped_;
  const SelectOptions& options_;
  const OptimizerKernels& kernels_;
  std::vector<std::vector<double>> sums_;
};

}  // namespace

std::vector<std::vector<double>> BlockSums(const std::vector<Tensor>& tensors,
                                           const std::vector<GroupedTensor>& grouped,
                                           const SelectOptions& options) {
  return SumPass(tensors, grouped, options).Run();
}

}  // namespace secateur
