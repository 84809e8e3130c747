//go:build ignore

// go_std SOCKET COMMAND WORDS…: the stream path as one writes it in Go: a goroutine for each output, encoding/json,
// a lock, a 16 MiB replay window of frames, bufio. COMMAND is started at each process.spawn; anything else is a ping.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
)

const windowBytes = 16 << 20

type frame struct {
	Type      string `json:"type"`
	ProcessID string `json:"processId"`
	Stream    string `json:"stream"`
	Seq       uint64 `json:"seq"`
	Data      []byte `json:"data"`
}

type session struct {
	lock   sync.Mutex
	frames [][]byte
	bytes  int
	seq    uint64
	writer *bufio.Writer
}

func (s *session) emit(stream string, data []byte) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.seq++
	line, err := json.Marshal(frame{"stream", "p1", stream, s.seq, data})
	if err != nil {
		return err
	}
	line = append(line, '\n')
	s.frames = append(s.frames, line)
	for s.bytes += len(line); s.bytes > windowBytes; s.frames = s.frames[1:] {
		s.bytes -= len(s.frames[0])
	}
	if _, err := s.writer.Write(line); err != nil {
		return err
	}
	return s.writer.Flush()
}

func (s *session) pump(stream string, output io.Reader) error {
	buffer := make([]byte, 32<<10)
	for {
		length, err := output.Read(buffer)
		if length > 0 {
			if err := s.emit(stream, buffer[:length]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

func spawn(connection net.Conn, words []string) {
	s := &session{writer: bufio.NewWriterSize(connection, 64<<10)}
	command := exec.Command(words[0], words[1:]...)
	output, _ := command.StdoutPipe()
	errors, _ := command.StderrPipe()
	if err := command.Start(); err != nil {
		panic(err)
	}
	var pumps sync.WaitGroup
	for name, stream := range map[string]io.Reader{"stdout": output, "stderr": errors} {
		pumps.Go(func() {
			if s.pump(name, stream) != nil {
				command.Process.Kill()
			}
		})
	}
	pumps.Wait()
	command.Wait()
	fmt.Fprintf(connection, "{\"type\":\"stream\",\"processId\":\"p1\",\"stream\":\"exit\",\"seq\":%d,\"exitCode\":0}\n", s.seq+1)
}

func serve(connection net.Conn, words []string) {
	defer connection.Close()
	reader := bufio.NewReader(connection)
	writer := bufio.NewWriter(connection)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		if strings.Contains(line, `"process.spawn"`) {
			spawn(connection, words)
			continue
		}
		var request struct {
			ID json.RawMessage `json:"id"`
		}
		json.Unmarshal([]byte(line), &request)
		reply, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": request.ID, "result": map[string]any{"ok": true}})
		writer.Write(append(reply, '\n'))
		writer.Flush()
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
		go serve(connection, os.Args[2:])
	}
}
