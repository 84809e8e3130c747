//go:build ignore

// go_rpc SOCKET TOKEN: server.ping as an idiomatic Go server answers it: encoding/json, the token compared in constant
// time, a table of methods, a goroutine for each request, replies written one by one under a lock.
package main

import (
	"bufio"
	"crypto/subtle"
	"encoding/json"
	"net"
	"os"
	"sync"
)

type request struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Auth    string          `json:"auth"`
	Params  json.RawMessage `json:"params"`
}

type response struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   any             `json:"error,omitempty"`
}

type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

var methods = map[string]func(params json.RawMessage) any{
	"server.ping": func(json.RawMessage) any { return map[string]any{"pong": true} },
}

func answer(line, token []byte) response {
	var asked request
	if json.Unmarshal(line, &asked) != nil {
		return response{JSONRPC: "2.0", ID: json.RawMessage("null"), Error: failure{-32700, "Parse error"}}
	}
	if subtle.ConstantTimeCompare([]byte(asked.Auth), token) != 1 {
		return response{JSONRPC: "2.0", ID: asked.ID, Error: failure{-32001, "Unauthorized"}}
	}
	method, known := methods[asked.Method]
	if !known {
		return response{JSONRPC: "2.0", ID: asked.ID, Error: failure{-32601, "Unknown method"}}
	}
	return response{JSONRPC: "2.0", ID: asked.ID, Result: method(asked.Params)}
}

func serve(connection net.Conn, token []byte) {
	defer connection.Close()
	var lock sync.Mutex
	writer := bufio.NewWriter(connection)
	lines := bufio.NewScanner(connection)
	lines.Buffer(make([]byte, 64<<10), 16<<20)
	for lines.Scan() {
		line := append([]byte(nil), lines.Bytes()...)
		go func() {
			bytes, _ := json.Marshal(answer(line, token))
			lock.Lock()
			defer lock.Unlock()
			writer.Write(bytes)
			writer.WriteByte('\n')
			writer.Flush()
		}()
	}
}

func main() {
	os.Remove(os.Args[1])
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go serve(connection, []byte(os.Args[2]))
	}
}
