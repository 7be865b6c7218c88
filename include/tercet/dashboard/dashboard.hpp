// A web server that shows the runs, families and nights of a folder while jobs work on them. It reads what they write,
// and writes nothing. docs/dashboard.md says what is shown and at which addresses.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace tercet::dashboard {

struct Options {
  std::filesystem::path folder;
  std::string host = "127.0.0.1";
  int port = 8420;    // 0: any that is free
  std::string token;  // empty: none on a loopback address, otherwise one made at random
};

// Listens until `stops` says so; it is asked a few times a second. `opened` is called once, with the address to give a
// browser. Throws StoreError when the folder is none, ConfigError when the address cannot be listened at.
void serve(const Options& options, const std::function<void(const std::string& address)>& opened,
           const std::function<bool()>& stops);

}  // namespace tercet::dashboard
