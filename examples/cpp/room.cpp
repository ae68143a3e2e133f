// room URL CA_FILE NAME COUNT: talks in a room where everybody hears everybody,
// until COUNT of its own messages have come back.
//
// It sends "NAME 1", "NAME 2", ... every 25 ms while connected. When the
// connection is lost, the client comes back by itself and the talk goes on. At
// the end it prints one line of JSON.
#include <longwire.hpp>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <unordered_map>
#include <vector>

using steady = std::chrono::steady_clock;

namespace {

const std::chrono::milliseconds pace(25);
const std::chrono::seconds limit(60);

class room {
public:
    room(std::string name, std::size_t count) : name_(std::move(name)), count_(count) {}

    longwire::handlers handlers() {
        longwire::handlers on;
        on.open = [this](longwire::client_ref, const longwire::opened &opened) {
            update([&] {
                open_ = true;
                reconnects_ = opened.reconnects();
            });
        };
        on.message = [this](longwire::client_ref, const longwire::message &message) {
            update([&] { hear(message.data().str()); });
        };
        on.down = [this](longwire::client_ref, const longwire::down &) {
            update([&] { open_ = false; });
        };
        on.closed = [this](longwire::client_ref, const longwire::closed &) {
            update([&] {
                open_ = false;
                closed_ = true;
            });
        };
        return on;
    }

    // Talks until all messages have come back, or says in an exception how many did.
    void talk(longwire::client &client) {
        steady::time_point deadline = steady::now() + limit;
        steady::time_point next = steady::now();
        std::unique_lock<std::mutex> lock(mutex_);
        while (round_trips_.size() < count_ && !closed_ && steady::now() < deadline) {
            if (open_ && steady::now() >= next) {
                sent_at_[++sent_] = steady::now();
                client.send_text(name_ + ' ' + std::to_string(sent_));
                next = steady::now() + pace;
            }
            changed_.wait_until(lock, open_ ? next : deadline);
        }
        if (round_trips_.size() < count_) {
            throw std::runtime_error(std::to_string(round_trips_.size()) + " of " +
                                     std::to_string(count_) + " messages came back");
        }
    }

    void report(std::ostream &out, const std::string &url) {
        std::lock_guard<std::mutex> lock(mutex_);
        std::sort(round_trips_.begin(), round_trips_.end());
        out << "{\"language\":\"C++\",\"url\":\"" << url << "\",\"sent\":" << sent_
            << ",\"received\":" << received_
            << ",\"round_trip_us\":" << round_trips_[round_trips_.size() / 2].count()
            << ",\"reconnects\":" << reconnects_ << "}\n";
    }

private:
    template <typename Change> void update(Change change) {
        std::lock_guard<std::mutex> lock(mutex_);
        change();
        changed_.notify_one();
    }

    void hear(const std::string &text) {
        received_++;
        std::string prefix = name_ + ' ';
        if (text.compare(0, prefix.size(), prefix) != 0) {
            return;
        }
        auto found = sent_at_.find(std::stoul(text.substr(prefix.size())));
        if (found != sent_at_.end()) {
            round_trips_.push_back(std::chrono::duration_cast<std::chrono::microseconds>(
                steady::now() - found->second));
            sent_at_.erase(found);
        }
    }

    const std::string name_;
    const std::size_t count_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
    bool closed_ = false;
    std::uint32_t reconnects_ = 0;
    unsigned long sent_ = 0;
    unsigned long received_ = 0;
    std::unordered_map<unsigned long, steady::time_point> sent_at_;
    std::vector<std::chrono::microseconds> round_trips_;
};

} // namespace

int main(int argc, char **argv) {
    if (argc != 5 || std::atoi(argv[4]) < 1) {
        std::cerr << "usage: room URL CA_FILE NAME COUNT\n";
        return 2;
    }
    try {
        longwire::config config(argv[1]);
        config.set_tls_ca_file(argv[2]).set_reconnect(std::chrono::milliseconds(100),
                                                      std::chrono::milliseconds(1000));
        room room(argv[3], static_cast<std::size_t>(std::atoi(argv[4])));
        longwire::client client(config, room.handlers());
        room.talk(client);
        longwire::ending end = client.close_and_wait();
        if (end.error_code != LW_OK) {
            throw longwire::error(end.error_code, end.error_message);
        }
        room.report(std::cout, argv[1]);
    } catch (const std::exception &error) {
        std::cerr << "room: " << argv[3] << ": " << error.what() << '\n';
        return 1;
    }
}
