#pragma once

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "base/error.h"
#include "crypto/certificate.h"
#include "crypto/envelope.h"

namespace berth {

/// The Error that `act` throws; a failure of the test when it throws none.
inline Error thrown_by(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return Error(ErrorKind::internal, "", "");
}

/// The openssl program as a witness that is not our code, in a folder of its own.
class OpensslProgram {
 public:
  struct Answer {
    int exit_code;
    std::string text;  ///< both streams
  };

  OpensslProgram() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-crypto-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  OpensslProgram(const OpensslProgram&) = delete;
  OpensslProgram& operator=(const OpensslProgram&) = delete;
  ~OpensslProgram() { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  Answer run(const std::string& arguments) const {
    const std::string command = "cd '" + folder_.string() + "' && openssl " + arguments + " 2>&1 </dev/null";
    FILE* pipe = ::popen(command.c_str(), "re");
    std::string text;
    for (int byte = std::fgetc(pipe); byte != EOF; byte = std::fgetc(pipe)) text += static_cast<char>(byte);
    const int status = ::pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text};
  }

 private:
  std::filesystem::path folder_;
};

inline Identity self_signed(CertificateUse use, const PrivateKey& key, const std::string& name = "test") {
  return {issue_certificate({.use = use, .common_name = name}, key), key};
}

/// Made once: RSA keys take a while.
inline const PrivateKey& rsa_key() {
  static const PrivateKey key = PrivateKey::generate_rsa();
  return key;
}
inline const PrivateKey& other_rsa_key() {
  static const PrivateKey key = PrivateKey::generate_rsa();
  return key;
}

}  // namespace berth
