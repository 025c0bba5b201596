// What the C library does with memory that is freed. For the whole process.
#ifndef SECATEUR_MEMORY_H_
#define SECATEUR_MEMORY_H_

namespace secateur {

// From now on, freed pieces of 1 MiB or more go back to the system at once, and what lies free
// already goes now. By itself glibc raises that size up to 32 MiB, to the largest piece that was
// freed, and keeps what is smaller. Does nothing with other C libraries. Any thread may call it,
// and more than once.
void ReturnFreedMemory() noexcept;

}  // namespace secateur

#endif  // SECATEUR_MEMORY_H_
