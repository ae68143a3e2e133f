// echo URL MESSAGE [CA_FILE]: sends one message, prints the answer, and closes.
//
//     c++ echo.cpp $(pkg-config --cflags --libs longwire) -pthread -o echo
#include <longwire.hpp>

#include <iostream>

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4) {
        std::cerr << "usage: echo URL MESSAGE [CA_FILE]\n";
        return 2;
    }
    std::string text = argv[2];

    longwire::handlers on;
    on.open = [&](longwire::client_ref client, const longwire::opened &) { client.send_text(text); };
    on.message = [](longwire::client_ref client, const longwire::message &message) {
        std::cout << message.data() << '\n';
        client.close();
    };
    on.down = [](longwire::client_ref, const longwire::down &down) {
        std::cerr << "echo: " << down.error_message() << '\n';
    };

    try {
        longwire::config config(argv[1]);
        if (argc == 4) {
            config.set_tls_ca_file(argv[3]);
        }
        longwire::client client(config, std::move(on));
        longwire::ending end = client.wait_closed();
        if (end.error_code != LW_OK) {
            throw longwire::error(end.error_code, end.error_message);
        }
    } catch (const longwire::error &error) {
        std::cerr << "echo: " << error.name() << ": " << error.what() << '\n';
        return 1;
    }
}
