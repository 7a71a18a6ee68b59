/* bench_machine: the roofline alone, the speeds of sgemm, memory, disk and zstd on this machine
 * today. Each other program measures again the speeds that bind it. */
#include "tests/bench/spectra.h"

int main(void)
{
    const unsigned cores = bench_cores();
    spectra m;

    lort_blas_start(NULL);
    m = spectra_make(2048, 4096, LORT_BF16);
    printf("%u cores; %s, core %s\n", cores, lort_blas_config(), lort_blas_core());
    const double one = bench_sgemm(1), all = bench_sgemm(cores);
    printf("  sgemm, one core             %9.1f Gflop/s\n", one);
    printf("  sgemm, all cores            %9.1f Gflop/s   %.2f times one\n", all, all / one);
    printf("  memcpy                      %9.1f GB/s\n", bench_memcpy());
    const bench_disk_speed disk = bench_disk((size_t)(bench_short() ? 256 : 2048) << 20);
    printf("  disk: write and sync        %9.2f GB/s\n", disk.write);
    printf("  disk: read, cold            %9.2f GB/s\n", disk.cold);
    printf("  disk: read, warm            %9.2f GB/s\n", disk.warm);
    const bench_zstd_speed zstd = bench_zstd(m.type, m.bytes, (size_t)(m.rows * m.cols) * 2);
    printf("  zstd -1, planes of BF16     %9.0f MB/s   %.2f bits of 16\n", zstd.encode,
           16 * zstd.share);
    printf("  zstd -d                     %9.0f MB/s\n", zstd.decode);
    spectra_free(&m);
    return 0;
}
