/*
 * Boost.Beast, as its asynchronous examples and its bench/wsload are: one
 * thread, one read and at most one write under way, messages as one frame, a
 * flat_buffer that is used again.
 */
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "measure.h"

namespace beast = boost::beast;
namespace net = boost::asio;
namespace ssl = net::ssl;
namespace websocket = beast::websocket;
using tcp = net::ip::tcp;
using error = beast::error_code;
using tcp_stream = beast::basic_stream<tcp, net::io_context::executor_type>;
using tls_stream = beast::ssl_stream<tcp_stream>;

static void must(error failed)
{
    if (failed)
        fail(failed.message().c_str());
}

/* What all connections share. */
struct world {
    net::io_context loop{1};
    ssl::context tls{ssl::context::tls_client};
    net::steady_timer deadline{loop};
    std::string payload = std::string(bench.size, '\0'), host, port, path;
    tcp::resolver::results_type addresses;
    uint64_t open = 0, before = 0;

    world()
    {
        std::string url = bench.url;
        std::size_t from = url.find("//") + 2, slash = url.find('/', from), colon = url.find(':', from);
        host = url.substr(from, colon - from);
        port = url.substr(colon + 1, slash - colon - 1);
        path = url.substr(slash);
        addresses = tcp::resolver(loop).resolve(host, port);
        if (bench.tls) {
            tls.load_verify_file(bench.ca);
            tls.set_verify_mode(ssl::verify_peer);
        }
    }
};

template <class Stream>
class client {
    world &all;
    websocket::stream<Stream> ws;
    beast::flat_buffer buffer;
    uint64_t sent = 0;

    static tcp_stream make(world &all, tcp_stream *) { return tcp_stream(all.loop); }
    static tls_stream make(world &all, tls_stream *) { return tls_stream(tcp_stream(all.loop), all.tls); }

  public:
    explicit client(world &all) : all(all), ws(make(all, static_cast<Stream *>(nullptr)))
    {
        beast::get_lowest_layer(ws).async_connect(all.addresses, [this](error failed, tcp::endpoint) {
            must(failed);
            secure();
        });
    }

    void start_secure(tcp_stream &) { upgrade(); }

    void start_secure(tls_stream &stream)
    {
        if (!SSL_set_tlsext_host_name(stream.native_handle(), all.host.c_str()))
            fail("no server name");
        stream.set_verify_callback(ssl::host_name_verification(all.host));
        stream.async_handshake(ssl::stream_base::client, [this](error failed) {
            must(failed);
            upgrade();
        });
    }

    void secure()
    {
        beast::get_lowest_layer(ws).socket().set_option(tcp::no_delay(true));
        start_secure(ws.next_layer());
    }

    void upgrade()
    {
        if (bench.deflate) {
            websocket::permessage_deflate deflate;
            deflate.client_enable = true;
            ws.set_option(deflate);
        }
        ws.set_option(websocket::stream_base::timeout::suggested(beast::role_type::client));
        ws.auto_fragment(false);
        ws.async_handshake(all.host + ":" + all.port, all.path, [this](error failed) {
            must(failed);
            on_open();
        });
    }

    void on_open()
    {
        read();
        if (++all.open < (bench.workload == MANY ? bench.count : 1))
            return;
        opened();
        ws.binary(bench.workload == ECHO || bench.workload == SINK);
        if (bench.workload == ECHO) {
            echo();
        } else if (bench.workload == SINK) {
            fill();
        } else if (bench.workload == MANY) {
            all.before = bench.messages;
            all.deadline.expires_after(std::chrono::seconds(bench.size));
            all.deadline.async_wait([this](error) {
                end();
                all.loop.stop();
            });
        } else {
            ws.async_write(net::buffer("go", 2), [](error failed, std::size_t) { must(failed); });
        }
    }

    void echo()
    {
        sending();
        ws.async_write(net::buffer(all.payload), [](error failed, std::size_t) { must(failed); });
    }

    void fill()
    {
        ws.async_write(net::buffer(all.payload), [this](error failed, std::size_t) {
            must(failed);
            if (++sent < bench.count)
                fill();
        });
    }

    void read()
    {
        ws.async_read(buffer, [this](error failed, std::size_t) {
            must(failed);
            enum next next = came(buffer.data().data(), buffer.size());
            buffer.consume(buffer.size());
            if (next == OVER) {
                all.loop.stop();
                return;
            }
            if (next == SEND)
                echo();
            read();
        });
    }
};

template <class Stream>
static void run(world &all)
{
    std::vector<std::unique_ptr<client<Stream>>> clients;
    for (uint64_t i = 0; i < (bench.workload == MANY ? bench.count : 1); i++)
        clients.emplace_back(new client<Stream>(all));
    all.loop.run();
    report(bench.messages - all.before);
}

int main(int argc, char **argv)
{
    take_arguments(argc, argv);
    world all;
    if (bench.tls)
        run<tls_stream>(all);
    else
        run<tcp_stream>(all);
    return 0;
}
