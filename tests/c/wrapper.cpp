// longwire.hpp: ownership, exceptions, and what the C tests cannot see.
#include "wrapper.hpp"

#include <poll.h>

#include <vector>

namespace {

void bad_input_throws() {
    throws(LW_EURL, [] { longwire::client(longwire::config("http://a/"), longwire::handlers()); });
    throws(LW_EURL, [] { longwire::hosted_client(longwire::config(""), longwire::handlers()); });
    throws(LW_EINVAL, [] { longwire::config(std::string("ws://a/\0b", 9)); });
    throws(LW_EINVAL, [] { at("/").add_header("X-A", std::string("a\0b", 3)); });
    throws(LW_EINVAL, [] { at("/").set_origin("\xff"); });
    throws(LW_EINVAL, [] { at("/").set_connect_timeout(std::chrono::milliseconds(-1)); });
    throws(LW_EINVAL, [] { at("/").set_close_timeout(std::chrono::hours(2000)); });
    throws(LW_EINVAL, [] { at("/").set_compression_level(10); });
    throws(LW_EINVAL, [] { at("/").set_restart_delay(2 * soon, soon); });
    throws(LW_EINVAL, [] { at("/").set_retry(99, true); });
    throws(LW_EINVAL, [] {
        longwire::client(at("/").add_header("A", "b\r\nc"), longwire::handlers());
    });
}

void every_option_can_be_set() {
    longwire::config config = at("/headers");
    config.add_header("X-A", "b")
        .add_subprotocol("v1")
        .set_origin("https://app.example")
        .set_tls_ca_file(server.ca_file)
        .set_tls_verify(true)
        .set_tls_server_name("localhost")
        .set_tls_client_cert("client.pem", "client.key")
        .add_tls_pinned_key("sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
        .set_proxy("http://127.0.0.1:9")
        .set_proxy_off()
        .set_max_redirects(3)
        .set_compression(true)
        .set_compression_threshold(0)
        .set_compression_level(9)
        .set_compression_window_bits(9, 15)
        .set_compression_context_takeover(true, false)
        .set_connect_timeout(std::chrono::seconds(5))
        .set_close_timeout(std::chrono::seconds(5))
        .set_heartbeat(std::chrono::seconds(5), std::chrono::seconds(5))
        .set_reconnect(soon, std::chrono::seconds(1))
        .set_reconnect_max_time(std::chrono::seconds(60))
        .set_max_retry_after(std::chrono::seconds(60))
        .set_restart_delay(soon, std::chrono::seconds(1))
        .set_retry(403, true)
        .set_retry(LW_ECERT, true)
        .set_hook_timeout(std::chrono::seconds(5))
        .set_reconnect_off()
        .set_offline_max_age(std::chrono::seconds(60))
        .set_consumer_timeout(std::chrono::seconds(60))
        .set_consumer_timeout(std::chrono::seconds(60), true)
        .set_log(LW_LOG_DEBUG, [](std::int32_t, longwire::view) {})
        .set_offline(LW_OFFLINE_QUEUE)
        .set_streaming(true)
        .set_streaming(false)
        .set_max_message_size(1 << 20)
        .set_max_fragments(10)
        .set_send_buffer(1 << 20)
        .set_receive_buffer(1 << 20);
    longwire::config moved = std::move(config);
    std::string headers;
    longwire::handlers on;
    on.message = [&](longwire::client_ref client, const longwire::message &message) {
        headers = message.data().str();
        client.close();
    };
    longwire::client client(moved, std::move(on));
    client.wait_closed();
    CHECK(headers.find("\"x-a\":\"b\"") != std::string::npos);
}

void a_conversation() {
    std::vector<std::string> heard;
    std::string upgrade;
    std::chrono::microseconds round_trip(-1);
    longwire::handlers on;
    on.open = [&](longwire::client_ref client, const longwire::opened &opened) {
        CHECK_INT(opened.attempt(), 1);
        CHECK(opened.subprotocol().empty());
        CHECK(opened.header("no-such-header").empty());
        upgrade = opened.header("Upgrade").str();
        client.ping("p");
    };
    on.pong = [&](longwire::client_ref client, const longwire::pong &pong) {
        round_trip = pong.round_trip();
        client.send_text("text");
        client.send_binary(std::string("\0\1", 2), longwire::compress::no);
    };
    on.message = [&](longwire::client_ref client, const longwire::message &message) {
        CHECK_INT(message.is_text(), heard.empty());
        heard.push_back(message.data().str());
        if (heard.size() == 2) {
            client.close(4000, "enough");
        }
    };
    longwire::client client(at("/echo"), std::move(on));
    longwire::ending end = client.wait_closed();
    CHECK_INT(end.code, 4000);
    CHECK(end.clean);
    CHECK_CODE(end.error_code, LW_OK);
    CHECK_INT(client.state(), LW_STATE_CLOSED);
    CHECK(round_trip.count() >= 0);
    CHECK_TEXT(upgrade.c_str(), "websocket");
    CHECK(heard == (std::vector<std::string>{"text", std::string("\0\1", 2)}));
    CHECK_CODE(client.try_send_text("late"), LW_ECLOSED);
    throws(LW_ECLOSED, [&] { client.send_text("late"); });
    CHECK_INT(client.wait_closed().code, 4000); // again
}

void a_message_goes_and_comes_in_pieces() {
    std::string heard;
    std::size_t firsts = 0;
    longwire::handlers on;
    on.open = [](longwire::client_ref client, const longwire::opened &) {
        longwire::message_writer message = client.begin_text(longwire::compress::no);
        throws(LW_EBUSY, [&] { client.begin_binary(); });
        message.write("caf\xc3");
        throws(LW_EUTF8, [&] { message.write("e"); });
        CHECK_CODE(message.try_write(std::string("\xff")), LW_EUTF8);
        longwire::message_writer moved = std::move(message);
        throws(LW_EINVAL, [&] { message.write("nowhere"); });
        CHECK(message.get() == nullptr && moved.get() != nullptr);
        moved.write("\xa9\0", 2);
        moved.end();
        throws(LW_EINVAL, [&] { moved.end(); });
    };
    on.message = [](longwire::client_ref, const longwire::message &) { CHECK(!"a message"); };
    on.chunk = [&](longwire::client_ref client, const longwire::chunk &chunk) {
        CHECK(chunk.is_text());
        firsts += chunk.first();
        heard += chunk.data().str();
        if (chunk.last()) {
            client.close();
        }
    };
    longwire::client client(at("/echo").set_streaming(true), std::move(on));
    CHECK(client.wait_closed().clean);
    CHECK_INT(firsts, 1);
    CHECK(heard == std::string("caf\xc3\xa9\0", 6));
    throws(LW_ECLOSED, [&] { client.begin_binary(); });
}

void a_message_that_goes_out_of_scope_gives_its_connection_up() {
    std::string reason;
    longwire::handlers on;
    on.open = [](longwire::client_ref client, const longwire::opened &) {
        client.begin_binary().write("half", 4);
    };
    on.closed = [&](longwire::client_ref, const longwire::closed &closed) {
        reason = closed.error_message();
    };
    longwire::client client(at("/echo").set_reconnect_off(), std::move(on));
    CHECK_CODE(client.wait_closed().error_code, LW_ELOST);
    CHECK(reason.find("given up") != std::string::npos);
}

void a_refusal_tells_status_header_and_body() {
    int status = 0;
    std::string body, reason;
    longwire::handlers on;
    on.closed = [&](longwire::client_ref, const longwire::closed &closed) {
        status = closed.http_status();
        body = closed.body().str();
        reason = closed.header("x-reason").str();
    };
    longwire::client client(at("/http?status=403&body=no&header=X-Reason:%20full"), std::move(on));
    longwire::ending end = client.wait_closed();
    CHECK_CODE(end.error_code, LW_ESTATUS);
    CHECK_INT(status, 403);
    CHECK_TEXT(body.c_str(), "no");
    CHECK_TEXT(reason.c_str(), "full");
}

void down_tells_why_and_when() {
    std::atomic<int> downs(0);
    longwire::handlers on;
    on.down = [&](longwire::client_ref client, const longwire::down &down) {
        CHECK_CODE(down.error_code(), LW_ESTATUS);
        CHECK(down.retry_in() <= std::chrono::milliseconds(10));
        if (++downs == 2) {
            CHECK_INT(down.attempt(), 2);
            client.close();
        }
    };
    longwire::client client(at("/http?status=503").set_reconnect(soon, 10 * soon), std::move(on));
    client.wait_closed();
    CHECK_INT(downs, 2);
}

void an_exception_of_a_handler_reaches_who_waits() {
    int calls = 0;
    bool closed = false;
    longwire::handlers on;
    on.message = [&](longwire::client_ref, const longwire::message &) {
        calls++;
        throw std::runtime_error("mine");
    };
    on.closed = [&](longwire::client_ref, const longwire::closed &) { closed = true; };
    longwire::client client(at("/push?count=100&size=10"), std::move(on));
    try {
        client.wait_closed();
        CHECK(!"an exception");
    } catch (const std::runtime_error &error) {
        CHECK_TEXT(error.what(), "mine");
    }
    CHECK_INT(calls, 1);
    CHECK(closed);
}

void a_handler_cannot_wait_for_itself() {
    std::int32_t code = LW_OK;
    longwire::client *inside = nullptr;
    std::mutex ready;
    longwire::handlers on;
    on.open = [&](longwire::client_ref, const longwire::opened &) {
        std::lock_guard<std::mutex> lock(ready);
        try {
            inside->close_and_wait();
        } catch (const longwire::error &error) {
            code = error.code();
        }
        inside->close();
    };
    std::unique_lock<std::mutex> lock(ready);
    longwire::client client(at("/echo"), std::move(on));
    inside = &client;
    lock.unlock();
    client.wait_closed();
    CHECK_CODE(code, LW_EBUSY);
}

// Counts how many of itself exist.
struct counted {
    explicit counted(std::atomic<int> &count) : count_(&count) { ++*count_; }
    counted(const counted &other) : count_(other.count_) { ++*count_; }
    ~counted() { --*count_; }
    std::atomic<int> *count_;
};

void what_handlers_hold_is_freed_once() {
    std::atomic<int> count(0);
    {
        counted held(count);
        longwire::handlers on;
        on.message = [held](longwire::client_ref, const longwire::message &) {};
        longwire::client first(at("/push?count=1000&size=10"), on);
        longwire::client second(std::move(first));
        longwire::client third(at("/echo"), on);
        third = std::move(second);
        CHECK(count > 1);
        throws(LW_EINVAL, [&] { second.wait_closed(); });
    }
    CHECK_INT(count, 0);
}

void a_handler_may_destroy_its_client() {
    std::mutex mutex;
    std::condition_variable changed;
    bool gone = false;
    std::unique_ptr<longwire::client> client;
    longwire::handlers on;
    on.message = [&](longwire::client_ref, const longwire::message &) {
        std::lock_guard<std::mutex> lock(mutex);
        client.reset();
        gone = true;
        changed.notify_one();
    };
    std::unique_lock<std::mutex> lock(mutex);
    client.reset(new longwire::client(at("/push?count=10&size=10"), std::move(on)));
    CHECK(changed.wait_for(lock, std::chrono::seconds(limit_s()), [&] { return gone; }));
}

void close_and_wait_closes_and_waits() {
    longwire::client client(at("/echo"), longwire::handlers());
    longwire::ending end = client.close_and_wait(4001, "bye");
    CHECK_CODE(end.error_code, LW_OK);
    CHECK_INT(client.state(), LW_STATE_CLOSED);
}

void release_ends_a_client_without_waiting() {
    longwire::client client(at("/echo"), longwire::handlers());
    client.release();
    throws(LW_EINVAL, [&] { client.send_text("late"); });
    CHECK_CODE(client.wait_closed().error_code, LW_ECLOSED);
}

void a_hosted_client_throws_what_its_handlers_throw() {
    std::string heard;
    longwire::handlers on;
    on.open = [](longwire::client_ref client, const longwire::opened &) { client.send_text("a"); };
    on.message = [&](longwire::client_ref, const longwire::message &message) {
        heard = message.data().str();
        throw std::runtime_error("mine");
    };
    longwire::hosted_client first(at("/echo"), std::move(on));
    longwire::hosted_client client(std::move(first));
    struct pollfd watched = {client.poll_fd(), POLLIN, 0};
    std::string thrown;
    while (poll(&watched, 1, 1000 * limit_s()) == 1) {
        try {
            if (client.drive() == LW_DRIVE_FINISHED) {
                break;
            }
        } catch (const std::runtime_error &error) {
            thrown = error.what();
        }
    }
    CHECK_TEXT(heard.c_str(), "a");
    CHECK_TEXT(thrown.c_str(), "mine");
    CHECK_INT(client.state(), LW_STATE_CLOSED);
}

} // namespace

int main() {
    start_server();
    RUN(bad_input_throws);
    RUN(every_option_can_be_set);
    RUN(a_conversation);
    RUN(a_message_goes_and_comes_in_pieces);
    RUN(a_message_that_goes_out_of_scope_gives_its_connection_up);
    RUN(a_refusal_tells_status_header_and_body);
    RUN(down_tells_why_and_when);
    RUN(an_exception_of_a_handler_reaches_who_waits);
    RUN(a_handler_cannot_wait_for_itself);
    RUN(what_handlers_hold_is_freed_once);
    RUN(a_handler_may_destroy_its_client);
    RUN(close_and_wait_closes_and_waits);
    RUN(release_ends_a_client_without_waiting);
    RUN(a_hosted_client_throws_what_its_handlers_throw);
    test_steering();
    return verdict();
}
