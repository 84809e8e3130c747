//go:build ignore

// go_spawn COUNT IN_FLIGHT HEAP_MB: processes a second with os/exec and three pipes, without any daemon around it, and
// how long the call that starts one takes while the program holds HEAP_MB of memory.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"time"
)

func runOne() time.Duration {
	begin := time.Now()
	command := exec.Command("/bin/true")
	input, _ := command.StdinPipe()
	output, _ := command.StdoutPipe()
	errors, _ := command.StderrPipe()
	if err := command.Start(); err != nil {
		panic(err)
	}
	took := time.Since(begin)
	input.Close()
	io.Copy(io.Discard, output)
	io.Copy(io.Discard, errors)
	command.Wait()
	return took
}

func main() {
	count, _ := strconv.Atoi(os.Args[1])
	inFlight, _ := strconv.Atoi(os.Args[2])
	heapMB, _ := strconv.Atoi(os.Args[3])
	heap := make([]byte, heapMB<<20)
	for i := range heap {
		heap[i] = byte(i)
	}
	var lock sync.Mutex
	var calls []float64
	var workers sync.WaitGroup
	turns := make(chan struct{}, count)
	for range count {
		turns <- struct{}{}
	}
	close(turns)
	begin := time.Now()
	for range inFlight {
		workers.Go(func() {
			for range turns {
				took := runOne()
				lock.Lock()
				calls = append(calls, float64(took.Microseconds()))
				lock.Unlock()
			}
		})
	}
	workers.Wait()
	rate := float64(count) / time.Since(begin).Seconds()
	sort.Float64s(calls)
	fmt.Printf("{\"rate\":%.1f,\"p50\":%.1f,\"p99\":%.1f}\n", rate, calls[count/2], calls[count*99/100])
	runtime.KeepAlive(heap)
}
