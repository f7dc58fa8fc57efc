#include "region/host_share.h"

#include <gmock/gmock.h>

namespace berth {
namespace {

TEST(HostShare, IsTheWholeSizeWhereTheHostHasIt) {
  const HostShare share = host_share(*find_vm_size("Standard_D2s_v3"), 8, 16'384);
  EXPECT_EQ(share.cpus, 2u);
  EXPECT_EQ(share.memory_mib, 8192u);
  EXPECT_EQ(share.less, "");
}

TEST(HostShare, IsWhatTheHostHasAndSaysSoWhereItHasLess) {
  const HostShare share = host_share(*find_vm_size("Standard_D64s_v5"), 4, 16'384);
  EXPECT_EQ(share.cpus, 4u);
  EXPECT_EQ(share.memory_mib, 12'288u);
  EXPECT_EQ(share.less,
            "The size Standard_D64s_v5 has 64 processors and 262144 MiB of memory; this host gives 4 and "
            "12288 MiB.");
}

}  // namespace
}  // namespace berth
