/* SANITIZED: 1 under a sanitizer that takes extra memory and reserves terabytes of address space,
 * else 0. */
#ifndef LORT_TESTS_SANITIZED_H
#define LORT_TESTS_SANITIZED_H

/* THREADS_ONLY: 1 under the thread sanitizer, else 0. */
#if defined(__SANITIZE_THREAD__)
#define THREADS_ONLY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREADS_ONLY 1
#endif
#endif
#ifndef THREADS_ONLY
#define THREADS_ONLY 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif
