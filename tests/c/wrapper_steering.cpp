// longwire.hpp: what handlers decide about, and what a client tells of itself.
#include "wrapper.hpp"

#include <vector>

namespace {

// Something that one thread gives and another waits for.
template <typename Value> class promised {
public:
    void give(Value value) {
        std::lock_guard<std::mutex> lock(mutex_);
        values_.push_back(std::move(value));
        changed_.notify_all();
    }
    // The nth value, counted from 0; a default one, and a failed check, if it does not come.
    Value get(std::size_t nth = 0) {
        std::unique_lock<std::mutex> lock(mutex_);
        bool came = changed_.wait_for(lock, std::chrono::seconds(limit_s()),
                                      [&] { return values_.size() > nth; });
        return CHECK(came) ? values_[nth] : Value();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Value> values_;
};

longwire::config hasty_at(const char *path) {
    longwire::config config = at(path);
    config.set_reconnect(soon, 10 * soon);
    return config;
}

const char *const guarded = "/need-header?name=Authorization&value=Bearer%202";

void each_attempt_may_have_a_token_of_its_own() {
    std::vector<std::uint32_t> attempts;
    longwire::handlers on;
    on.before_connect = [&](longwire::client_ref, const longwire::attempt &attempt) {
        attempts.push_back(attempt.number());
        CHECK_INT(attempt.reconnects(), 0);
        CHECK_INT(attempt.http_status(), attempts.size() == 1 ? 0 : 403);
        std::string token = "Bearer " + std::to_string(attempts.size());
        attempt.proceed(at(guarded).add_header("Authorization", token));
        throws(LW_EINVAL, [&] { attempt.proceed(); });
        throws(LW_EINVAL, [&] { attempt.refuse("too late"); });
    };
    on.should_reconnect = [](longwire::client_ref, const longwire::outage &outage) {
        CHECK(!outage.retry());
        CHECK_INT(outage.http_status(), 403);
        CHECK_INT(outage.attempt(), 1);
        CHECK(outage.retry_in() <= std::chrono::milliseconds(10));
        return true;
    };
    on.open = [](longwire::client_ref client, const longwire::opened &opened) {
        CHECK_INT(opened.attempt(), 2);
        client.close();
    };
    longwire::client client(hasty_at(guarded), std::move(on));
    CHECK_CODE(client.wait_closed().error_code, LW_OK);
    CHECK(attempts == (std::vector<std::uint32_t>{1, 2}));
}

void an_exception_refuses_the_attempt_and_give_up_the_client() {
    std::vector<std::string> reasons;
    longwire::handlers on;
    on.before_connect = [&](longwire::client_ref, const longwire::attempt &attempt) {
        switch (attempt.number()) {
        case 1:
            throw std::runtime_error("no token");
        case 2:
            throw 3;
        case 3:
            attempt.refuse("not yet");
            break;
        default:
            throw longwire::give_up("logged out");
        }
    };
    on.down = [&](longwire::client_ref, const longwire::down &down) {
        CHECK_CODE(down.error_code(), LW_EHOOK);
        reasons.push_back(down.error_message());
    };
    longwire::client client(hasty_at("/echo"), std::move(on));
    longwire::ending end = client.wait_closed();
    CHECK_CODE(end.error_code, LW_EHOOK);
    CHECK_TEXT(end.error_message.c_str(), "before_connect: logged out");
    CHECK(reasons == (std::vector<std::string>{
                         "before_connect: no token",
                         "before_connect: an exception that is no std::exception",
                         "before_connect: not yet"}));
}

void an_exception_behind_an_answer_reaches_who_waits() {
    for (int which = 0; which < 2; which++) {
        longwire::handlers on;
        if (which == 0) {
            on.before_connect = [](longwire::client_ref, const longwire::attempt &attempt) {
                attempt.proceed();
                throw std::runtime_error("mine");
            };
        } else {
            on.should_reconnect = [](longwire::client_ref, const longwire::outage &) -> bool {
                throw std::runtime_error("mine");
            };
        }
        longwire::client client(hasty_at("/drop"), std::move(on));
        try {
            client.wait_closed();
            CHECK(!"an exception");
        } catch (const std::runtime_error &error) {
            CHECK_TEXT(error.what(), "mine");
        }
    }
}

void an_answer_may_come_later_from_any_thread() {
    promised<std::uint64_t> asked;
    promised<std::string> reasons;
    promised<bool> open;
    longwire::handlers on;
    on.before_connect = [&](longwire::client_ref, const longwire::attempt &attempt) {
        asked.give(attempt.ask());
    };
    on.down = [&](longwire::client_ref, const longwire::down &down) {
        reasons.give(down.error_message());
    };
    on.open = [&](longwire::client_ref, const longwire::opened &) { open.give(true); };
    longwire::client client(hasty_at("/echo"), std::move(on));
    client.refuse(asked.get(), "no token");
    CHECK_TEXT(reasons.get().c_str(), "before_connect: no token");
    throws(LW_EINVAL, [&] { client.proceed(asked.get()); });
    throws(LW_EURL, [&] { client.proceed(asked.get(1), longwire::config("http://a/")); });
    client.proceed(asked.get(1), at("/echo"));
    CHECK(open.get());
    client.reconnect();
    client.proceed(asked.get(2));
    CHECK(open.get(1));
    client.network_changed();
    client.close_and_wait();
}

void only_who_has_a_handler_is_asked() {
    longwire::config config = hasty_at("/drop");
    longwire::handlers on;
    on.before_connect = [](longwire::client_ref, const longwire::attempt &attempt) {
        attempt.refuse("never", false);
    };
    CHECK_CODE(longwire::client(config, on).wait_closed().error_code, LW_EHOOK);
    on.before_connect = nullptr;
    on.should_reconnect = [](longwire::client_ref, const longwire::outage &outage) {
        CHECK(outage.retry());
        return false;
    };
    CHECK_CODE(longwire::client(config, on).wait_closed().error_code, LW_ELOST);
    on.should_reconnect = nullptr;
    promised<bool> down;
    on.down = [&](longwire::client_ref, const longwire::down &) { down.give(true); };
    longwire::client client(config, on);
    CHECK(down.get());
}

void a_handler_that_is_asked_may_end_its_client() {
    for (int which = 0; which < 2; which++) {
        promised<bool> gone;
        std::unique_ptr<longwire::client> client;
        std::mutex ready;
        auto end = [&] {
            std::lock_guard<std::mutex> lock(ready);
            client.reset();
            gone.give(true);
        };
        longwire::handlers on;
        if (which == 0) {
            on.before_connect = [&](longwire::client_ref, const longwire::attempt &) { end(); };
        } else {
            on.should_reconnect = [&](longwire::client_ref, const longwire::outage &) {
                end();
                return true;
            };
        }
        {
            std::lock_guard<std::mutex> lock(ready);
            client.reset(new longwire::client(hasty_at("/drop"), std::move(on)));
        }
        CHECK(gone.get());
    }
    longwire::handlers on;
    on.before_connect = [](longwire::client_ref client, const longwire::attempt &) {
        client.close();
    };
    CHECK_CODE(longwire::client(hasty_at("/echo"), on).wait_closed().error_code, LW_OK);
}

void a_question_does_not_keep_its_client() {
    promised<bool> asked;
    longwire::handlers on;
    on.before_connect = [&](longwire::client_ref, const longwire::attempt &) { asked.give(true); };
    {
        longwire::client client(hasty_at("/echo"), on);
        CHECK(asked.get());
    }
    longwire::client client(hasty_at("/echo"), on);
    CHECK(asked.get(1));
    CHECK_CODE(client.close_and_wait().error_code, LW_OK);
}

void a_login_may_precede_the_queue() {
    promised<std::uint64_t> held;
    promised<std::string> heard;
    longwire::handlers on;
    on.open = [&](longwire::client_ref client, const longwire::opened &opened) {
        CHECK_INT(opened.expired(), 0);
        held.give(client.hold());
    };
    on.message = [&](longwire::client_ref, const longwire::message &message) {
        heard.give(message.data().str());
    };
    promised<std::uint64_t> asked;
    on.before_connect = [&](longwire::client_ref, const longwire::attempt &attempt) {
        asked.give(attempt.ask());
    };
    longwire::client client(at("/order"), std::move(on));
    client.send_text("2");
    client.proceed(asked.get());
    std::uint64_t hold = held.get();
    client.send_text("0", longwire::compress::yes, longwire::ahead::yes);
    CHECK_TEXT(heard.get().c_str(), "0");
    longwire::message_writer pieces =
        client.begin_text(longwire::compress::yes, longwire::ahead::yes);
    pieces.write("1");
    pieces.end();
    client.ready(hold);
    CHECK_TEXT(heard.get(2).c_str(), "2");
    throws(LW_EOFFLINE, [&] { client.hold(); });
    CHECK(client.close_and_wait().clean);
}

void what_never_left_is_returned() {
    std::size_t messages = 0, bytes = 0;
    longwire::handlers on;
    on.before_connect = [](longwire::client_ref, const longwire::attempt &) {};
    on.closed = [&](longwire::client_ref, const longwire::closed &closed) {
        messages = closed.unsent_messages();
        bytes = closed.unsent_bytes();
    };
    longwire::client client(at("/echo"), std::move(on));
    client.send_text("text");
    client.send_binary(std::string("\0\1", 2));
    client.close_and_wait();
    CHECK_INT(messages, 2);
    CHECK_INT(bytes, 6);
    std::vector<longwire::unsent> unsent = client.take_unsent();
    CHECK_INT(unsent.size(), 2);
    CHECK(unsent[0].is_text && unsent[0].data == "text");
    CHECK(!unsent[1].is_text && unsent[1].data == std::string("\0\1", 2));
    CHECK(client.take_unsent().empty());
}

void a_client_tells_of_itself() {
    promised<std::string> heard;
    longwire::handlers on;
    on.message = [&](longwire::client_ref, const longwire::message &message) {
        heard.give(message.data().str());
    };
    on.pong = [&](longwire::client_ref, const longwire::pong &) { heard.give("pong"); };
    longwire::client client(at("/echo"), std::move(on));
    client.send_text("hello");
    heard.get();
    client.ping();
    heard.get(1);
    longwire::stats stats = client.stats();
    CHECK_INT(stats.state, LW_STATE_OPEN);
    CHECK_INT(stats.connections, 1);
    CHECK_INT(stats.messages_sent, 1);
    CHECK(stats.connected_for() >= std::chrono::milliseconds(0));
    CHECK(stats.connected_since() > std::chrono::system_clock::now() - std::chrono::hours(1));
    CHECK(stats.round_trip() >= std::chrono::microseconds(0));
    CHECK(stats.smoothed_round_trip() >= std::chrono::microseconds(0));
    CHECK_INT(stats.next_retry().count(), -1);
    CHECK_INT(stats.stalled().count(), -1);
    CHECK(stats.sent_ratio() > 0.99 && stats.received_ratio() > 0.99);
    stats.deflated_before = stats.inflated_after = 100;
    stats.deflated_after = stats.inflated_before = 25;
    CHECK(stats.sent_ratio() < 0.26 && stats.received_ratio() < 0.26);
    client.close_and_wait();
    longwire::client moved(std::move(client));
    throws(LW_EINVAL, [&] { client.stats(); });
    throws(LW_EINVAL, [&] { client.take_unsent(); });
}

void the_log_goes_to_a_function_and_no_exception_leaves_it() {
    std::shared_ptr<promised<std::string>> lines = std::make_shared<promised<std::string>>();
    std::weak_ptr<promised<std::string>> held = lines;
    longwire::config config = hasty_at("/http?status=404");
    config.set_log(LW_LOG_ERROR, [lines](std::int32_t level, longwire::view text) {
        CHECK_INT(level, LW_LOG_ERROR);
        lines->give(text.str());
        throw std::runtime_error("of the log");
    });
    longwire::client client(config, longwire::handlers());
    CHECK_CODE(client.wait_closed().error_code, LW_ESTATUS);
    CHECK(lines->get().find("closed with code 1006") == 0);
    // Told another, the configuration lets go of the first.
    config.set_log(LW_LOG_DEBUG, [](std::int32_t, longwire::view) {});
    throws(LW_EINVAL, [&] { config.set_log(LW_LOG_DEBUG, longwire::log_handler()); });
    throws(LW_EINVAL, [&] { config.set_log(9, [](std::int32_t, longwire::view) {}); });
    lines.reset();
    CHECK(!held.expired()); // the client still has it
}

} // namespace

void test_steering() {
    RUN(each_attempt_may_have_a_token_of_its_own);
    RUN(an_exception_refuses_the_attempt_and_give_up_the_client);
    RUN(an_exception_behind_an_answer_reaches_who_waits);
    RUN(an_answer_may_come_later_from_any_thread);
    RUN(only_who_has_a_handler_is_asked);
    RUN(a_handler_that_is_asked_may_end_its_client);
    RUN(a_question_does_not_keep_its_client);
    RUN(a_login_may_precede_the_queue);
    RUN(what_never_left_is_returned);
    RUN(a_client_tells_of_itself);
    RUN(the_log_goes_to_a_function_and_no_exception_leaves_it);
}
