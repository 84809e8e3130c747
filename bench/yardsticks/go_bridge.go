//go:build ignore

// go_bridge SOCKET: the byte pump as one writes it in Go. io.Copy uses splice by itself.
package main

import (
	"io"
	"net"
	"os"
)

func main() {
	connection, err := net.Dial("unix", os.Args[1])
	if err != nil {
		os.Exit(1)
	}
	go func() {
		io.Copy(connection, os.Stdin)
		connection.(*net.UnixConn).CloseWrite()
	}()
	io.Copy(os.Stdout, connection)
}
