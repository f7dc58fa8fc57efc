#pragma once

namespace berth {

class Database;

/// Security groups as Berth up to 0.1 left them: with each start the lists of their rules were read with
/// their default, "*", in front of what was written. Removes that "*" again and says so in the log. A client
/// cannot have written such a list: "*" stands alone.
void mend_rules_that_grew(Database& database);

}  // namespace berth
