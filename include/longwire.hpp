// longwire for C++11 and newer: longwire.h with owners, exceptions and
// std::function. Header only; link what longwire.h needs.
//
//     longwire::handlers on;
//     on.open = [](longwire::client_ref client, const longwire::opened &) {
//         client.send_text("hello");
//     };
//     on.message = [](longwire::client_ref, const longwire::message &message) {
//         std::cout << message.data().str() << '\n';
//     };
//     longwire::client client(longwire::config("wss://feed.example/ticks"), std::move(on));
//
// THREADS, OWNERSHIP AND EVENTS are those of longwire.h; read its beginning.
//
// LIFETIME. The destructor of a client ends it at once (lw_client_free): the peer
// gets a close frame with 1001 if the socket takes it. It waits for a handler
// that is running on another thread and for nothing else, so that handlers
// may refer to whatever outlives the client. Hence two rules: do not destroy a
// client while holding a lock that its handlers take, and declare what the
// handlers use before the client. client::release() ends without waiting;
// client::close_and_wait() ends with a closing handshake.
//
// EXCEPTIONS. What fails throws longwire::error, except where a function is
// noexcept. No exception may pass through the library, so one that leaves a
// handler is caught, the client is closed with code 1011, and of the handlers only `closed`
// is still called. The exception is thrown again by wait_closed, close_and_wait
// and hosted_client::drive; a program that calls none of them has asked not to
// know. The handler before_connect is different: an exception refuses the attempt
// that it was asked about.
#ifndef LONGWIRE_HPP
#define LONGWIRE_HPP

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <ostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if __cplusplus >= 201703L
#include <string_view>
#endif

#include "longwire.h"

namespace longwire {

// Borrowed characters or bytes: std::string_view for C++11. Converts from and
// to std::string_view where there is one.
class view {
public:
    view() noexcept : data_(""), size_(0) {}
    view(const char *data, std::size_t size) noexcept : data_(data), size_(size) {}
    view(const char *string) noexcept : data_(string), size_(std::strlen(string)) {}
    view(const std::string &string) noexcept : data_(string.data()), size_(string.size()) {}
#if __cplusplus >= 201703L
    view(std::string_view string) noexcept : data_(string.data()), size_(string.size()) {}
    operator std::string_view() const noexcept { return std::string_view(data_, size_); }
#endif

    const char *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const char *begin() const noexcept { return data_; }
    const char *end() const noexcept { return data_ + size_; }
    // A copy, to keep.
    std::string str() const { return empty() ? std::string() : std::string(data_, size_); }

private:
    const char *data_;
    std::size_t size_;
};

inline std::ostream &operator<<(std::ostream &out, view text) {
    return out.write(text.data(), static_cast<std::streamsize>(text.size()));
}

// What failed, and why.
class error : public std::runtime_error {
public:
    error(std::int32_t code, const std::string &message)
        : std::runtime_error(message), code_(code), http_status_(0) {}
    explicit error(const lw_error *cause)
        : std::runtime_error(lw_error_message(cause)), code_(lw_error_code(cause)),
          http_status_(lw_error_http_status(cause)) {}

    // LW_E*.
    std::int32_t code() const noexcept { return code_; }
    // Such as "LW_EURL".
    const char *name() const noexcept { return lw_error_name(code_); }
    // What the server answered, for LW_ESTATUS; otherwise 0.
    int http_status() const noexcept { return http_status_; }

private:
    std::int32_t code_;
    int http_status_;
};

// Thrown by the handler before_connect: no attempt is of any use, and the client is to
// end with LW_EHOOK. Any other exception is a failed attempt like others.
class give_up : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Gets lines of the log: the level, LW_LOG_*, and the text. See lw_log_fn for the threads;
// an exception of it is ignored.
using log_handler = std::function<void(std::int32_t, view)>;

namespace detail {

inline void on_log(std::int32_t level, const char *text, void *user) noexcept {
    try {
        (*static_cast<log_handler *>(user))(level, text);
    } catch (...) {
        // Nobody waits for it, and what the log tells of has to go on.
    }
}

inline void on_log_free(void *user) noexcept { delete static_cast<log_handler *>(user); }

inline std::int32_t check(std::int32_t code, const char *what) {
    if (code < 0) {
        throw error(code, std::string(what) + ": " + lw_strerror(code));
    }
    return code;
}

// A NUL-terminated copy of `text` for the configuration, in which C would not
// see past a NUL.
class c_string {
public:
    c_string(view text, const char *what) : copy_(text.str()) {
        if (copy_.find('\0') != std::string::npos) {
            throw error(LW_EINVAL, std::string(what) + ": expected text without NUL");
        }
    }
    operator const char *() const noexcept { return copy_.c_str(); }

private:
    std::string copy_;
};

inline std::uint32_t milliseconds(std::chrono::milliseconds time, const char *what) {
    if (time.count() < 0 || time.count() > 0xffffffffLL) {
        throw error(LW_EINVAL, std::string(what) + ": expected 0 to 4294967295 ms, got " +
                                   std::to_string(time.count()));
    }
    return static_cast<std::uint32_t>(time.count());
}

} // namespace detail

// Everything a client is made from; lw_config_* says what the setters mean.
// Each returns the configuration, to be chained. Can be moved, not copied.
class config {
public:
    // A URL that cannot be used is reported when the client is made.
    explicit config(view url) : config_(lw_config_new(detail::c_string(url, "url"))) {
        if (!config_) {
            throw error(LW_ERESOURCE, "no configuration could be made");
        }
    }

    config &add_header(view name, view value) {
        return set(lw_config_add_header(get(), detail::c_string(name, "add_header"),
                                        detail::c_string(value, "add_header")),
                   "add_header");
    }
    config &add_subprotocol(view name) {
        return set(lw_config_add_subprotocol(get(), detail::c_string(name, "add_subprotocol")),
                   "add_subprotocol");
    }
    config &set_origin(view origin) {
        return set(lw_config_set_origin(get(), detail::c_string(origin, "set_origin")),
                   "set_origin");
    }
    config &set_tls_ca_file(view path) {
        return set(lw_config_set_tls_ca_file(get(), detail::c_string(path, "set_tls_ca_file")),
                   "set_tls_ca_file");
    }
    config &set_tls_ca_pem(view pem) {
        return set(lw_config_set_tls_ca_pem(get(), pem.data(), pem.size()), "set_tls_ca_pem");
    }
    // false accepts any certificate; only for tests.
    config &set_tls_verify(bool verify) {
        return set(lw_config_set_tls_verify(get(), verify), "set_tls_verify");
    }
    config &set_tls_server_name(view name) {
        return set(
            lw_config_set_tls_server_name(get(), detail::c_string(name, "set_tls_server_name")),
            "set_tls_server_name");
    }
    // PEM files, read anew at each attempt.
    config &set_tls_client_cert(view cert_file, view key_file) {
        const char *what = "set_tls_client_cert";
        return set(lw_config_set_tls_client_cert(get(), detail::c_string(cert_file, what),
                                                 detail::c_string(key_file, what)),
                   what);
    }
    // "sha256//" and the base64 of the SHA-256 of the server's public key.
    config &add_tls_pinned_key(view pin) {
        return set(lw_config_add_tls_pinned_key(get(), detail::c_string(pin, "add_tls_pinned_key")),
                   "add_tls_pinned_key");
    }
    config &set_proxy(view url) {
        return set(lw_config_set_proxy(get(), detail::c_string(url, "set_proxy")), "set_proxy");
    }
    // None, whatever the environment says.
    config &set_proxy_off() { return set(lw_config_set_proxy(get(), nullptr), "set_proxy_off"); }
    config &set_max_redirects(std::uint32_t redirects) {
        return set(lw_config_set_max_redirects(get(), redirects), "set_max_redirects");
    }
    config &set_compression(bool enabled) {
        return set(lw_config_set_compression(get(), enabled), "set_compression");
    }
    // This and the following also switch compression on.
    config &set_compression_threshold(std::size_t bytes) {
        return set(lw_config_set_compression_threshold(get(), bytes), "set_compression_threshold");
    }
    config &set_compression_level(std::uint32_t level, std::uint32_t memory_level = 8) {
        return set(lw_config_set_compression_level(get(), level, memory_level),
                   "set_compression_level");
    }
    config &set_compression_window_bits(std::uint32_t client, std::uint32_t server) {
        return set(lw_config_set_compression_window_bits(get(), client, server),
                   "set_compression_window_bits");
    }
    config &set_compression_context_takeover(bool client, bool server) {
        return set(lw_config_set_compression_context_takeover(get(), client, server),
                   "set_compression_context_takeover");
    }
    config &set_connect_timeout(std::chrono::milliseconds limit) {
        const char *what = "set_connect_timeout";
        return set(lw_config_set_connect_timeout_ms(get(), detail::milliseconds(limit, what)),
                   what);
    }
    config &set_close_timeout(std::chrono::milliseconds limit) {
        const char *what = "set_close_timeout";
        return set(lw_config_set_close_timeout_ms(get(), detail::milliseconds(limit, what)), what);
    }
    // An interval of 0 means never.
    config &set_heartbeat(std::chrono::milliseconds interval, std::chrono::milliseconds timeout) {
        const char *what = "set_heartbeat";
        return set(lw_config_set_heartbeat(get(), detail::milliseconds(interval, what),
                                           detail::milliseconds(timeout, what)),
                   what);
    }
    // max_attempts of 0 means never to give up.
    config &set_reconnect(std::chrono::milliseconds min_delay, std::chrono::milliseconds max_delay,
                          double factor = 2.0, std::uint32_t max_attempts = 0,
                          std::chrono::milliseconds stable_after = std::chrono::seconds(5)) {
        const char *what = "set_reconnect";
        return set(lw_config_set_reconnect(get(), detail::milliseconds(min_delay, what),
                                           detail::milliseconds(max_delay, what), factor,
                                           max_attempts, detail::milliseconds(stable_after, what)),
                   what);
    }
    config &set_reconnect_off() {
        return set(lw_config_set_reconnect_off(get()), "set_reconnect_off");
    }
    // 0 means never to give up. This and the next three also switch reconnecting on.
    config &set_reconnect_max_time(std::chrono::milliseconds most) {
        const char *what = "set_reconnect_max_time";
        return set(lw_config_set_reconnect_max_time(get(), detail::milliseconds(most, what)), what);
    }
    config &set_max_retry_after(std::chrono::milliseconds most) {
        const char *what = "set_max_retry_after";
        return set(lw_config_set_max_retry_after(get(), detail::milliseconds(most, what)), what);
    }
    config &set_restart_delay(std::chrono::milliseconds min_delay,
                              std::chrono::milliseconds max_delay) {
        const char *what = "set_restart_delay";
        return set(lw_config_set_restart_delay(get(), detail::milliseconds(min_delay, what),
                                               detail::milliseconds(max_delay, what)),
                   what);
    }
    // The cause: an HTTP status, the peer's close code, or LW_E*.
    config &set_retry(std::int32_t cause, bool retry) {
        return set(lw_config_set_retry(get(), cause, retry), "set_retry");
    }
    // For the answers of the handlers before_connect and should_reconnect.
    config &set_hook_timeout(std::chrono::milliseconds limit) {
        const char *what = "set_hook_timeout";
        return set(lw_config_set_hook_timeout(get(), detail::milliseconds(limit, what)), what);
    }
    // LW_OFFLINE_QUEUE or LW_OFFLINE_REFUSE.
    config &set_offline(std::uint32_t offline) {
        return set(lw_config_set_offline(get(), offline), "set_offline");
    }
    // 0 means never.
    config &set_offline_max_age(std::chrono::milliseconds age) {
        const char *what = "set_offline_max_age";
        return set(lw_config_set_offline_max_age(get(), detail::milliseconds(age, what)), what);
    }
    // For a hosted_client that is not driven; 0 means never. With `close` it ends then.
    config &set_consumer_timeout(std::chrono::milliseconds limit, bool close = false) {
        const char *what = "set_consumer_timeout";
        return set(lw_config_set_consumer_timeout(get(), detail::milliseconds(limit, what), close),
                   what);
    }
    // Lines up to `level`, LW_LOG_*.
    config &set_log(std::int32_t level, log_handler log) {
        lw_log_fn call = log ? detail::on_log : nullptr;
        std::unique_ptr<log_handler> user(new log_handler(std::move(log)));
        return set(lw_config_set_log(get(), level, call, user.release(), detail::on_log_free),
                   "set_log");
    }
    config &set_streaming(bool streaming) {
        return set(lw_config_set_streaming(get(), streaming), "set_streaming");
    }
    config &set_max_message_size(std::size_t bytes) {
        return set(lw_config_set_max_message_size(get(), bytes), "set_max_message_size");
    }
    config &set_max_fragments(std::uint32_t fragments) {
        return set(lw_config_set_max_fragments(get(), fragments), "set_max_fragments");
    }
    config &set_send_buffer(std::size_t bytes) {
        return set(lw_config_set_send_buffer(get(), bytes), "set_send_buffer");
    }
    config &set_receive_buffer(std::size_t bytes) {
        return set(lw_config_set_receive_buffer(get(), bytes), "set_receive_buffer");
    }

    // The C handle, which stays with this object.
    lw_config *get() const noexcept { return config_.get(); }

private:
    struct deleter {
        void operator()(lw_config *config) const noexcept { lw_config_free(config); }
    };

    config &set(std::int32_t code, const char *what) {
        detail::check(code, what);
        return *this;
    }

    std::unique_ptr<lw_config, deleter> config_;
};

namespace detail {

// What the events share: a borrowed lw_event.
class event_ref {
public:
    explicit event_ref(const lw_event *event) noexcept : event_(event) {}
    // The C event.
    const lw_event *get() const noexcept { return event_; }

protected:
    view bytes() const noexcept {
        return view(reinterpret_cast<const char *>(event_->data), event_->len);
    }
    view find(view name) const {
        const char *value = "";
        std::size_t size = 0;
        lw_event_header(event_, c_string(name, "header"), &value, &size);
        return view(value, size);
    }

    const lw_event *event_;
};

// What the events with an error share.
class failure : public event_ref {
public:
    using event_ref::event_ref;
    // LW_OK if there is no error.
    std::int32_t error_code() const noexcept { return lw_error_code(event_->error); }
    // "" if there is no error.
    const char *error_message() const noexcept { return lw_error_message(event_->error); }
    // What a server that refused the handshake answered: status (0 if none did),
    // a header ("" if there is none), and the beginning of the body.
    int http_status() const noexcept { return lw_error_http_status(event_->error); }
    view header(view name) const { return find(name); }
    view body() const noexcept { return bytes(); }
};

} // namespace detail

// The connection is open.
class opened : public detail::event_ref {
public:
    using event_ref::event_ref;
    // How many attempts this connection took, counted from 1.
    std::uint32_t attempt() const noexcept { return event_->attempt; }
    // How many connections were open before this one.
    std::uint32_t reconnects() const noexcept { return event_->reconnects; }
    // "" if the server chose none.
    view subprotocol() const noexcept { return event_->subprotocol; }
    view extensions() const noexcept { return event_->extensions; }
    // How many messages had waited for too long; see set_offline_max_age.
    std::size_t expired() const noexcept { return event_->expired; }
    // The first response header of this name, "" if there is none.
    view header(view name) const { return find(name); }
};

// A complete message.
class message : public detail::event_ref {
public:
    using event_ref::event_ref;
    bool is_text() const noexcept { return event_->is_text; }
    // Lives until the handler returns; str() of it is a copy to keep.
    view data() const noexcept { return bytes(); }
};

// A part of a message as it arrived, with set_streaming(true). See LW_EVENT_CHUNK.
class chunk : public detail::event_ref {
public:
    using event_ref::event_ref;
    bool is_text() const noexcept { return event_->is_text; }
    // Lives until the handler returns. May be empty, and end inside a character.
    view data() const noexcept { return bytes(); }
    // A message begins.
    bool first() const noexcept { return event_->first; }
    // The message is complete.
    bool last() const noexcept { return event_->last; }
};

// The answer to a ping.
class pong : public detail::event_ref {
public:
    using event_ref::event_ref;
    view data() const noexcept { return bytes(); }
    // -1 us for a pong that nobody asked for.
    std::chrono::microseconds round_trip() const noexcept {
        return std::chrono::microseconds(event_->round_trip_us);
    }
};

// The connection was lost or could not be made; another attempt follows.
class down : public detail::failure {
public:
    using failure::failure;
    // The peer's close code, 0 if there is none.
    std::uint16_t code() const noexcept { return event_->code; }
    // How many attempts failed since the last open connection.
    std::uint32_t attempt() const noexcept { return event_->attempt; }
    std::chrono::milliseconds retry_in() const noexcept {
        return std::chrono::milliseconds(event_->retry_in_ms);
    }
};

// An attempt that is about to begin, and waits for an answer: one of these functions, or
// those of client_ref, later and from any thread, within set_hook_timeout.
class attempt : public detail::failure {
public:
    attempt(const lw_event *event, lw_client *client) noexcept : failure(event), client_(client) {}
    // What a later answer has to name.
    std::uint64_t ask() const noexcept { return event_->ask; }
    // Which attempt this is since the last open connection, counted from 1.
    std::uint32_t number() const noexcept { return event_->attempt; }
    // How many connections were open before.
    std::uint32_t reconnects() const noexcept { return event_->reconnects; }

    // As configured.
    void proceed() const { detail::check(lw_client_proceed(client_, ask(), nullptr), "proceed"); }
    // With the URL, headers and subprotocols of `changes` instead, this time.
    void proceed(const config &changes) const {
        detail::check(lw_client_proceed(client_, ask(), changes.get()), "proceed");
    }
    // The attempt fails with LW_EHOOK; without `retry` the client ends.
    void refuse(view reason, bool retry = true) const {
        detail::check(lw_client_refuse(client_, ask(), reason.data(), reason.size(), retry),
                      "refuse");
    }

private:
    lw_client *client_;
};

// A loss, or a failed attempt, about which the handler decides.
class outage : public down {
public:
    using down::down;
    // What would happen without the handler: whether another attempt follows.
    bool retry() const noexcept { return event_->retry; }
};

// The end.
class closed : public detail::failure {
public:
    using failure::failure;
    // The peer's close code.
    std::uint16_t code() const noexcept { return event_->code; }
    view reason() const noexcept { return view(event_->reason, event_->reason_len); }
    // Whether the closing handshake was completed.
    bool clean() const noexcept { return event_->clean; }
    // How many messages never left, and their bytes; client_ref::take_unsent returns them.
    std::size_t unsent_messages() const noexcept { return event_->unsent_messages; }
    std::size_t unsent_bytes() const noexcept { return event_->unsent_bytes; }
};

// How a client ended, to keep.
struct ending {
    std::uint16_t code;
    std::string reason;
    bool clean;
    std::int32_t error_code; // LW_OK if one of the two sides wanted it so
    std::string error_message;
};

// Whether a message may be compressed, if that was agreed on; see
// LW_SEND_UNCOMPRESSED.
enum class compress { no, yes };

// Whether a message belongs to what is sent from within `open`; see LW_SEND_AHEAD.
enum class ahead { no, yes };

// A message that never left.
struct unsent {
    bool is_text;
    std::string data;
};

// A client at one moment: the members of lw_stats, and the times among them as such.
// Times are -1 where there is none.
struct stats : lw_stats {
    std::chrono::milliseconds next_retry() const noexcept {
        return std::chrono::milliseconds(next_retry_ms);
    }
    std::chrono::milliseconds connected_for() const noexcept {
        return std::chrono::milliseconds(connected_for_ms);
    }
    std::chrono::system_clock::time_point connected_since() const noexcept {
        return std::chrono::system_clock::time_point(std::chrono::milliseconds(connected_since_ms));
    }
    std::chrono::microseconds round_trip() const noexcept {
        return std::chrono::microseconds(round_trip_us);
    }
    std::chrono::microseconds smoothed_round_trip() const noexcept {
        return std::chrono::microseconds(smoothed_round_trip_us);
    }
    std::chrono::milliseconds stalled() const noexcept {
        return std::chrono::milliseconds(stalled_ms);
    }
    // What became of each byte that was compressed, sent and received; 1 if none was.
    double sent_ratio() const noexcept { return ratio(deflated_after, deflated_before); }
    double received_ratio() const noexcept { return ratio(inflated_before, inflated_after); }

private:
    static double ratio(std::uint64_t small, std::uint64_t large) noexcept {
        return large == 0 ? 1.0 : static_cast<double>(small) / static_cast<double>(large);
    }
};

namespace detail {

inline std::uint32_t flags(compress may, ahead order) noexcept {
    return (may == compress::no ? LW_SEND_UNCOMPRESSED : 0) |
           (order == ahead::yes ? LW_SEND_AHEAD : 0);
}

// Messages that never left, on their way through C.
struct unsent_list {
    std::vector<unsent> messages;
    std::exception_ptr thrown;

    static void add(std::uint32_t kind, const std::uint8_t *data, std::size_t size,
                    void *user) noexcept {
        unsent_list *self = static_cast<unsent_list *>(user);
        try {
            std::string copy(reinterpret_cast<const char *>(data), size);
            self->messages.push_back(unsent{kind == LW_TEXT, std::move(copy)});
        } catch (...) {
            self->thrown = std::current_exception();
        }
    }
};

} // namespace detail

// A message that is sent piece by piece; made by client_ref::begin_text and
// begin_binary, and used by one thread at a time. Whole messages that are sent
// meanwhile wait for its end. The destructor of one that was written to and has not
// ended gives the connection up (lw_message_abandon): the server could make nothing
// of the rest.
// May outlive its client. Can be moved, not copied.
class message_writer {
public:
    // Takes the C handle over.
    explicit message_writer(lw_message *message) noexcept : message_(message) {}

    // Text may be cut anywhere, also inside a character.
    void write(view piece) { detail::check(try_write(piece), "write"); }
    void write(const void *data, std::size_t size) {
        detail::check(try_write(data, size), "write");
    }
    // LW_OK or a code instead of an exception. LW_EFULL took nothing of the piece;
    // `drain` follows.
    std::int32_t try_write(view piece) noexcept { return try_write(piece.data(), piece.size()); }
    std::int32_t try_write(const void *data, std::size_t size) noexcept {
        return lw_message_continue(message_.get(), data, size);
    }

    // Ends the message, and lets out those that waited. Throws if it could not be
    // completed (LW_EUTF8, LW_ELOST, LW_ECLOSED); it is over all the same.
    void end() { detail::check(lw_message_end(message_.release()), "end"); }

    // The C handle, which stays with this object; NULL after the end.
    lw_message *get() const noexcept { return message_.get(); }

private:
    struct deleter {
        void operator()(lw_message *message) const noexcept { lw_message_abandon(message); }
    };

    std::unique_ptr<lw_message, deleter> message_;
};

// What one does with a client, for whoever does not own it. A handler gets one;
// it is valid as long as the client, and in a handler until the handler returns.
class client_ref {
public:
    explicit client_ref(lw_client *client) noexcept : client_(client) {}

    void send_text(view text, compress may = compress::yes, ahead order = ahead::no) {
        detail::check(try_send_text(text, may, order), "send_text");
    }
    void send_binary(view data, compress may = compress::yes, ahead order = ahead::no) {
        detail::check(try_send_binary(data, may, order), "send_binary");
    }
    void send_binary(const void *data, std::size_t size, compress may = compress::yes,
                     ahead order = ahead::no) {
        detail::check(try_send_binary(data, size, may, order), "send_binary");
    }

    // LW_OK or a code instead of an exception; LW_EFULL is nothing exceptional.
    std::int32_t try_send_text(view text, compress may = compress::yes,
                               ahead order = ahead::no) noexcept {
        return lw_client_send(client_, LW_TEXT, text.data(), text.size(),
                              detail::flags(may, order));
    }
    std::int32_t try_send_binary(view data, compress may = compress::yes,
                                 ahead order = ahead::no) noexcept {
        return try_send_binary(data.data(), data.size(), may, order);
    }
    std::int32_t try_send_binary(const void *data, std::size_t size,
                                 compress may = compress::yes, ahead order = ahead::no) noexcept {
        return lw_client_send(client_, LW_BINARY, data, size, detail::flags(may, order));
    }

    // Begins a message that is sent piece by piece; see lw_message_begin.
    message_writer begin_text(compress may = compress::yes, ahead order = ahead::no) {
        return begin(LW_TEXT, may, order, "begin_text");
    }
    message_writer begin_binary(compress may = compress::yes, ahead order = ahead::no) {
        return begin(LW_BINARY, may, order, "begin_binary");
    }

    // From the handler `open`: what was queued while down waits until ready(), which takes
    // the number that this returns. See lw_client_hold.
    std::uint64_t hold() {
        std::uint64_t number = 0;
        detail::check(lw_client_hold(client_, &number), "hold");
        return number;
    }
    void ready(std::uint64_t hold) { detail::check(lw_client_ready(client_, hold), "ready"); }

    void ping(view data = view()) {
        detail::check(lw_client_ping(client_, data.data(), data.size()), "ping");
    }
    // Begins the closing handshake and returns; `closed` follows.
    void close(std::uint16_t code = 1000, view reason = view()) {
        detail::check(lw_client_close(client_, code, reason.data(), reason.size()), "close");
    }
    // Connects anew: at once instead of waiting, or in place of an open connection.
    void reconnect() { detail::check(lw_client_reconnect(client_), "reconnect"); }
    // A hint that another network may be in use.
    void network_changed() { detail::check(lw_client_network_changed(client_), "network_changed"); }

    // Later answers to `before_connect`, for attempt::ask; see there.
    void proceed(std::uint64_t ask) {
        detail::check(lw_client_proceed(client_, ask, nullptr), "proceed");
    }
    void proceed(std::uint64_t ask, const config &changes) {
        detail::check(lw_client_proceed(client_, ask, changes.get()), "proceed");
    }
    void refuse(std::uint64_t ask, view reason, bool retry = true) {
        detail::check(lw_client_refuse(client_, ask, reason.data(), reason.size(), retry),
                      "refuse");
    }

    // The messages that never left, in order, from `closed` on; a second call finds none.
    std::vector<unsent> take_unsent() {
        detail::unsent_list list;
        detail::check(lw_client_unsent(client_, detail::unsent_list::add, &list), "take_unsent");
        if (list.thrown) {
            std::rethrow_exception(list.thrown);
        }
        return std::move(list.messages);
    }
    longwire::stats stats() const {
        longwire::stats stats;
        stats.size = sizeof(lw_stats);
        detail::check(lw_client_stats(client_, &stats), "stats");
        return stats;
    }

    // LW_STATE_*.
    std::int32_t state() const { return detail::check(lw_client_state(client_), "state"); }
    std::size_t buffered_amount() const noexcept { return lw_client_buffered_amount(client_); }
    // -1 us if no ping was answered yet.
    std::chrono::microseconds round_trip() const noexcept {
        return std::chrono::microseconds(lw_client_round_trip_us(client_));
    }
    // The C handle, which stays with its owner.
    lw_client *get() const noexcept { return client_; }

protected:
    lw_client *client_;

private:
    message_writer begin(std::uint32_t kind, compress may, ahead order, const char *what) {
        lw_message *message = nullptr;
        detail::check(lw_message_begin(client_, kind, detail::flags(may, order), &message), what);
        return message_writer(message);
    }
};

// What to do about events; an empty function ignores them. On which thread and
// for how long, see the beginning of longwire.h.
struct handlers {
    std::function<void(client_ref, const opened &)> open;
    std::function<void(client_ref, const longwire::message &)> message;
    // With set_streaming(true), instead of `message`.
    std::function<void(client_ref, const longwire::chunk &)> chunk;
    std::function<void(client_ref, const longwire::pong &)> pong;
    std::function<void(client_ref, const longwire::down &)> down;
    std::function<void(client_ref)> drain;
    std::function<void(client_ref, const longwire::closed &)> closed;
    // If there is one, each attempt waits for it, and for its answer: attempt::proceed or
    // attempt::refuse, or later one of client_ref. An exception refuses the attempt;
    // longwire::give_up ends the client.
    std::function<void(client_ref, const longwire::attempt &)> before_connect;
    // If there is one, each loss and each failed attempt waits for it: whether another
    // attempt follows. outage::retry() is what the rule says.
    std::function<bool(client_ref, const longwire::outage &)> should_reconnect;
};

namespace detail {

// What a client and the library share.
class state {
public:
    explicit state(handlers on) : on_(std::move(on)), thread_(std::thread::id()), over_(false), ending_() {}

    static void on_event(lw_client *client, const lw_event *event, void *user) noexcept {
        // A handler may destroy the client; the copy keeps this object.
        std::shared_ptr<state> self = *static_cast<std::shared_ptr<state> *>(user);
        std::thread::id before = self->thread_.exchange(std::this_thread::get_id());
        if (!self->failed() || event->kind == LW_EVENT_CLOSED) {
            try {
                self->dispatch(client_ref(client), event);
            } catch (...) {
                self->fail(std::current_exception());
                lw_client_close(client, 1011, nullptr, 0);
            }
        }
        self->thread_.store(before);
        if (event->kind == LW_EVENT_CLOSED) {
            self->finish(closed(event));
        }
    }

    static void on_free(void *user) noexcept {
        std::unique_ptr<std::shared_ptr<state>> self(static_cast<std::shared_ptr<state> *>(user));
        (*self)->finish();
    }

    // Whoever has a handler for a question wants to be asked, and nobody else would answer.
    void prepare(const config &config) const noexcept {
        lw_config_set_before_connect(config.get(), static_cast<bool>(on_.before_connect));
        lw_config_set_should_reconnect(config.get(), static_cast<bool>(on_.should_reconnect));
    }

    bool is_in_handler() const noexcept { return thread_.load() == std::this_thread::get_id(); }

    ending wait() {
        if (is_in_handler()) {
            throw error(LW_EBUSY, "wait_closed: called from a handler, which cannot return then");
        }
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return over_; });
        if (thrown_) {
            std::rethrow_exception(thrown_);
        }
        return ending_;
    }

    void rethrow() {
        std::unique_lock<std::mutex> lock(mutex_);
        if (thrown_) {
            std::exception_ptr thrown;
            std::swap(thrown, thrown_);
            lock.unlock();
            std::rethrow_exception(thrown);
        }
    }

private:
    void dispatch(client_ref client, const lw_event *event) {
        switch (event->kind) {
        case LW_EVENT_OPEN:
            call(on_.open, client, opened(event));
            break;
        case LW_EVENT_MESSAGE:
            call(on_.message, client, message(event));
            break;
        case LW_EVENT_CHUNK:
            call(on_.chunk, client, chunk(event));
            break;
        case LW_EVENT_PONG:
            call(on_.pong, client, pong(event));
            break;
        case LW_EVENT_DOWN:
            call(on_.down, client, down(event));
            break;
        case LW_EVENT_DRAIN:
            if (on_.drain) {
                on_.drain(client);
            }
            break;
        case LW_EVENT_CLOSED:
            call(on_.closed, client, closed(event));
            break;
        case LW_EVENT_BEFORE_CONNECT:
            ask(client, attempt(event, client.get()));
            break;
        case LW_EVENT_SHOULD_RECONNECT:
            if (on_.should_reconnect) {
                bool retry = on_.should_reconnect(client, outage(event));
                // Fails if the client was closed meanwhile, and nobody waits any more.
                lw_client_decide(client.get(), event->ask, retry);
            }
            break;
        default:
            break;
        }
    }

    void ask(client_ref client, const attempt &attempt) {
        try {
            call(on_.before_connect, client, attempt);
        } catch (const give_up &reason) {
            refuse(client, attempt, reason.what(), false);
        } catch (const std::exception &reason) {
            refuse(client, attempt, reason.what(), true);
        } catch (...) {
            refuse(client, attempt, "an exception that is no std::exception", true);
        }
    }

    // In place of an exception, which goes on if the question is answered already.
    static void refuse(client_ref client, const attempt &attempt, view reason, bool retry) {
        static const char unsayable[] = "an exception whose text is not UTF-8";
        if (lw_client_refuse(client.get(), attempt.ask(), reason.data(), reason.size(), retry) !=
                LW_OK &&
            lw_client_refuse(client.get(), attempt.ask(), unsayable, sizeof unsayable - 1, retry) !=
                LW_OK) {
            throw;
        }
    }

    template <typename Event>
    static void call(const std::function<void(client_ref, const Event &)> &handler,
                     client_ref client, const Event &event) {
        if (handler) {
            handler(client, event);
        }
    }

    bool failed() const noexcept { return failed_.load(std::memory_order_relaxed); }

    void fail(std::exception_ptr thrown) {
        std::lock_guard<std::mutex> lock(mutex_);
        failed_.store(true, std::memory_order_relaxed);
        if (!thrown_) {
            thrown_ = std::move(thrown);
        }
    }

    void finish(const closed &event) {
        ending how = {event.code(), event.reason().str(), event.clean(), event.error_code(),
                      event.error_message()};
        std::lock_guard<std::mutex> lock(mutex_);
        ending_ = std::move(how);
        over_ = true;
        changed_.notify_all();
    }

    // The client was freed, or the library shut down, before it was closed.
    void finish() {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!over_) {
            ending_ = {1006, std::string(), false, LW_ECLOSED, "ended without waiting"};
            over_ = true;
            changed_.notify_all();
        }
    }

    handlers on_;
    std::atomic<std::thread::id> thread_;
    std::atomic<bool> failed_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::exception_ptr thrown_;
    bool over_;
    ending ending_;
};

// What owners of clients have in common.
class owner : public client_ref {
public:
    owner(owner &&other) noexcept : client_ref(other.client_), state_(std::move(other.state_)) {
        other.client_ = nullptr;
    }
    owner &operator=(owner &&other) noexcept {
        if (this != &other) {
            lw_client_free(client_);
            client_ = other.client_;
            other.client_ = nullptr;
            state_ = std::move(other.state_);
        }
        return *this;
    }
    owner(const owner &) = delete;
    owner &operator=(const owner &) = delete;

protected:
    owner(const config &config, handlers on)
        : client_ref(nullptr), state_(std::make_shared<detail::state>(std::move(on))) {
        state_->prepare(config);
    }
    // See LIFETIME above.
    ~owner() { lw_client_free(client_); }

    std::shared_ptr<detail::state> state_;
};

[[noreturn]] inline void raise(lw_error *reason) {
    std::unique_ptr<lw_error, void (*)(lw_error *)> guard(reason, lw_error_free);
    throw error(reason);
}

} // namespace detail

// Owns a client that the library drives. Can be moved, not copied.
class client : public detail::owner {
public:
    // Throws for what is wrong with the configuration; connecting goes on in the
    // background, and its outcome comes to the handlers.
    client(const config &config, handlers on) : owner(config, std::move(on)) {
        lw_error *reason = nullptr;
        std::unique_ptr<std::shared_ptr<detail::state>> user(
            new std::shared_ptr<detail::state>(state_));
        if (lw_client_new(config.get(), detail::state::on_event, user.release(),
                          detail::state::on_free, &client_, &reason) != LW_OK) {
            detail::raise(reason);
        }
    }

    // Ends the client without waiting for anything (lw_client_release). A handler
    // may still be running on another thread.
    void release() noexcept {
        lw_client_release(client_);
        client_ = nullptr;
    }

    // Waits until the client is over, and tells how it ended. Throws what a
    // handler threw. Not from a handler.
    ending wait_closed() {
        if (!state_) {
            throw error(LW_EINVAL, "wait_closed: this client was moved from");
        }
        return state_->wait();
    }

    // close and wait_closed.
    ending close_and_wait(std::uint16_t code = 1000, view reason = view()) {
        if (state_ && state_->is_in_handler()) {
            throw error(LW_EBUSY, "close_and_wait: called from a handler");
        }
        close(code, reason);
        return wait_closed();
    }
};

// Owns a client that a loop of the program drives: wait until poll_fd() is
// readable, then call drive(). Can be moved, not copied.
class hosted_client : public detail::owner {
public:
    hosted_client(const config &config, handlers on) : owner(config, std::move(on)) {
        lw_error *reason = nullptr;
        if (lw_client_new_hosted(config.get(), &client_, &reason) != LW_OK) {
            detail::raise(reason);
        }
    }

    int poll_fd() const { return detail::check(lw_client_poll_fd(client_), "poll_fd"); }

    // Calls handlers for up to `budget` events, without blocking. Returns
    // LW_DRIVE_*. Throws what a handler threw.
    std::int32_t drive(std::size_t budget = 64) {
        // The handlers may destroy this object.
        std::shared_ptr<detail::state> state = state_;
        std::int32_t driven = lw_client_drive(client_, budget, detail::state::on_event, &state);
        if (state) {
            state->rethrow();
        }
        return detail::check(driven, "drive");
    }
};

} // namespace longwire

#endif // LONGWIRE_HPP
