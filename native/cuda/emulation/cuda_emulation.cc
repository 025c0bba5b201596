// Threads of a block as contexts that change over where they wait.
#include "cuda/emulation/cuda_emulation.h"

#include <ucontext.h>

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "cuda/emulation/cuda_runtime_emulation.h"

namespace secateur::emulation {

Dim3 thread_index, block_index, block_size, grid_size;

namespace {

// No power of two: stacks that begin at the same place of a page evict each other from the cache.
constexpr size_t kStackBytes = (size_t{48} << 10) + 64 * 9;
constexpr unsigned kWarp = 32;

// Contexts are entered once, and changed over by jumps, which ask nothing of the kernel.
struct Thread {
  ucontext_t context;
  std::jmp_buf at;
  bool entered = false;
  bool done = true;
  bool at_block = false;  // waits for all threads of the block
  bool at_warp = false;   // waits for all of its warp
  uint64_t parity = 0;    // exchanges so far
};

struct Block {
  std::vector<Thread> threads;
  std::vector<char> stacks;
  std::vector<uint64_t> slots;  // [warp][parity][lane]
  const std::function<void()>* kernel = nullptr;
  std::jmp_buf scheduler;
  unsigned current = 0;
};

Block* running = nullptr;

void Yield() {
  if (_setjmp(running->threads[running->current].at) == 0) _longjmp(running->scheduler, 1);
}

// A thread goes on with the next block when it is done with one.
[[noreturn]] void Main() {
  for (;;) {
    (*running->kernel)();
    running->threads[running->current].done = true;
    Yield();
  }
}

void Enter(Block& block, Thread& thread) {
  thread.entered = true;
  getcontext(&thread.context);
  thread.context.uc_stack.ss_sp = block.stacks.data() + block.current * kStackBytes;
  thread.context.uc_stack.ss_size = kStackBytes;
  thread.context.uc_link = nullptr;
  makecontext(&thread.context, &Main, 0);
  setcontext(&thread.context);
}

// Returns when the thread waits or is done.
void Resume(Block& block, Thread& thread) {
  if (_setjmp(block.scheduler) != 0) return;
  if (!thread.entered) Enter(block, thread);
  _longjmp(thread.at, 1);
}

// Lets go those of [begin, end) that wait for each other, once all do.
bool Release(Block& block, unsigned begin, unsigned end, bool Thread::*waits) {
  for (unsigned t = begin; t < end; ++t) {
    if (!(block.threads[t].*waits)) return false;
  }
  for (unsigned t = begin; t < end; ++t) block.threads[t].*waits = false;
  return true;
}

bool ReleaseAll(Block& block) {
  const auto count = static_cast<unsigned>(block.threads.size());
  bool any = Release(block, 0, count, &Thread::at_block);
  for (unsigned warp = 0; warp < count; warp += kWarp)
    any |= Release(block, warp, warp + kWarp, &Thread::at_warp);
  return any;
}

// One turn of every thread that can go on; whether one could.
bool Turn(Block& block, unsigned step) {
  const auto count = static_cast<unsigned>(block.threads.size());
  bool any = false;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned t = i * step % count;
    Thread& thread = block.threads[t];
    if (thread.done || thread.at_block || thread.at_warp) continue;
    block.current = t;
    thread_index.x = t;
    Resume(block, thread);
    any = true;
  }
  return any;
}

void RunBlock(Block& block, unsigned index) {
  block_index.x = index;
  for (Thread& thread : block.threads) {
    thread.done = thread.at_block = thread.at_warp = false;
    thread.parity = 0;
  }
  // Odd steps visit all threads of a power of two, each in another order; the last is backwards.
  const auto count = static_cast<unsigned>(block.threads.size());
  const unsigned steps[] = {1, count - 1, 77, 101};
  const unsigned step = steps[index % 4];
  for (;;) {
    const bool ran = Turn(block, step);
    const bool released = ReleaseAll(block);
    if (!ran && !released) break;
  }
  for (const Thread& thread : block.threads) {
    if (thread.done) continue;
    std::fprintf(stderr, "cuda emulation: threads of a block wait for others that never come\n");
    std::abort();
  }
}

}  // namespace

void Launch(unsigned grid, unsigned threads, const std::function<void()>& kernel) {
  static std::mutex mutex;  // there is one emulated processor
  const std::scoped_lock lock(mutex);
  static Block block;
  block.threads.resize(threads);
  block.stacks.resize(threads * kStackBytes);
  block.slots.assign(static_cast<size_t>(threads) * 2, 0);
  block.kernel = &kernel;
  running = &block;
  block_size.x = threads;
  grid_size.x = grid;
  for (unsigned index = 0; index < grid; ++index) RunBlock(block, index);
}

void Enqueue(void* stream, std::function<void()> work) {
  if (stream == nullptr) {
    work();
  } else {
    static_cast<EmulatedStream*>(stream)->work.push_back(std::move(work));
  }
}

void WaitForBlock() {
  running->threads[running->current].at_block = true;
  Yield();
}

const uint64_t* Exchange(uint64_t mine) {
  Thread& thread = running->threads[running->current];
  const unsigned warp = running->current / kWarp;
  uint64_t* slots = &running->slots[(warp * 2 + thread.parity % 2) * kWarp];
  slots[running->current % kWarp] = mine;
  ++thread.parity;
  thread.at_warp = true;
  Yield();
  return slots;
}

}  // namespace secateur::emulation
