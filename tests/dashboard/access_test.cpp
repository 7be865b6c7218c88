#include "dashboard/access.hpp"

#include <gtest/gtest.h>

namespace tercet::dashboard {
namespace {

TEST(Loopback, IsKnownByItsNames) {
  for (const char* host : {"localhost", "LocalHost", "127.0.0.1", "127.3.2.1", "::1"})
    EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host :
       {"", "0.0.0.0", "::", "128.0.0.1", "localhost.evil.org", "127.0.0.1.evil.org", "10.0.0.1", "::2"})
    EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(Access, OnALoopbackAddressKnowsItsNamesOnly) {
  const Access access(true, "", 8420);
  for (const char* host : {"localhost:8420", "127.0.0.1:9", "127.0.0.1", "[::1]:8420"})
    EXPECT_TRUE(access.knows_host(host)) << host;
  for (const char* host : {"evil.org", "evil.org:8420", "", "[::1", "localhost.evil.org:8420", "[", ":8420"})
    EXPECT_FALSE(access.knows_host(host)) << host;
  EXPECT_TRUE(Access(false, "secret", 1).knows_host("node7:8420"));
}

TEST(Access, WithoutATokenAsksForNone) {
  const Access access(true, "", 8420);
  EXPECT_TRUE(access.allows("", ""));
  EXPECT_FALSE(access.is_token(""));  // so ?token= makes no cookie
}

TEST(Access, TakesATokenAsHeaderOrCookie) {
  const Access access(false, "secret", 8420);
  EXPECT_TRUE(access.allows("Bearer secret", ""));
  EXPECT_TRUE(access.allows("bearer secret", ""));
  EXPECT_TRUE(access.allows("", "a=b; tercet-8420=secret; c=d"));
  EXPECT_TRUE(access.allows("", access.cookie().substr(0, access.cookie().find(';'))));
  for (const char* header : {"", "secret", "Basic secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secret2"})
    EXPECT_FALSE(access.allows(header, "")) << header;
  for (const char* cookies :
       {"tercet-8420=", "tercet-8421=secret", "xtercet-8420=secret", "secret", ";;;", "tercet-8420"})
    EXPECT_FALSE(access.allows("", cookies)) << cookies;
}

TEST(Access, MakesTokensThatDiffer) {
  EXPECT_EQ(random_token().size(), 32u);
  EXPECT_NE(random_token(), random_token());
  EXPECT_TRUE(same_secret("a", "a"));
  EXPECT_FALSE(same_secret("a", "b"));
  EXPECT_FALSE(same_secret("a", ""));
}

}  // namespace
}  // namespace tercet::dashboard
