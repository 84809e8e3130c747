// Reads the archives of tried-archives.ts from standard input, one line of JSON each, with the reader of Go's standard
// library, and prints what it says to each. Names and content are told byte by byte, as latin1 characters. The walk ends
// where the daemon's ends: at the first type that is neither file nor directory.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

type tried struct {
	Title    string `json:"title"`
	Checksum string `json:"checksum"`
	Archive  []byte `json:"archive"`
}

type verdict struct {
	Title    string  `json:"title"`
	Checksum string  `json:"checksum"`
	Entries  []entry `json:"entries"`
	// Why the archive could be read no further, and whether in a header or in content.
	Refusal string `json:"refusal,omitempty"`
	Place   string `json:"place,omitempty"`
}

type entry struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Mode    string `json:"mode"`
	Content string `json:"content,omitempty"`
}

func latin1(text []byte) string {
	runes := make([]rune, len(text))
	for i, b := range text {
		runes[i] = rune(b)
	}
	return string(runes)
}

func contentText(content []byte) string {
	if len(content) <= 64 {
		return latin1(content)
	}
	return fmt.Sprintf("%d bytes, sha256:%x", len(content), sha256.Sum256(content))
}

func judge(one tried) verdict {
	said := verdict{Title: one.Title, Checksum: one.Checksum, Entries: []entry{}}
	reader := tar.NewReader(bytes.NewReader(one.Archive))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return said
		}
		if err != nil {
			said.Refusal, said.Place = err.Error(), "header"
			return said
		}
		found := entry{latin1([]byte(header.Name)), latin1([]byte{header.Typeflag}), fmt.Sprintf("%o", header.Mode&07777), ""}
		if header.Typeflag == tar.TypeReg {
			content, err := io.ReadAll(reader)
			if err != nil {
				said.Entries = append(said.Entries, found)
				said.Refusal, said.Place = err.Error(), "content"
				return said
			}
			found.Content = contentText(content)
		}
		said.Entries = append(said.Entries, found)
		if header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeDir {
			return said
		}
	}
}

func main() {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	verdicts := []verdict{}
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(err)
		}
		var one tried
		if err := json.Unmarshal(line, &one); err != nil {
			panic(err)
		}
		verdicts = append(verdicts, judge(one))
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	if err := out.Encode(verdicts); err != nil {
		panic(err)
	}
}
