//! Bad input, silence and greed: that connection suffers, nobody else does.
use crate::harness::{Client, add, create, get_data, node, node_with, read_frame, set_data, within};
use bytes::{BufMut, BytesMut};
use jute::Request;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes on a fresh connection and asserts that the server ends it without a word.
async fn expect_dropped(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("a write");
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn negative_and_huge_lengths_end_the_connection() {
    let node = node().await;
    for length in [-1, i32::MIN, i32::MAX, 0x0f_ffff + 1, 5000] {
        expect_dropped(node.address, &length.to_be_bytes()).await;
    }
    for length in [-1, i32::MIN, i32::MAX, 0x0f_ffff + 1] {
        let mut client = node.client().await;
        client.stream.write_all(&length.to_be_bytes()).await.expect("a write");
        client.expect_end().await;
    }
    node.client().await.create("/fine", 0).await;
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_connect_request_ends_the_connection() {
    let node = node().await;
    expect_dropped(node.address, &[0, 0, 0, 0]).await;
    expect_dropped(node.address, b"\0\0\0\x08GARBAGE!").await;
    expect_dropped(node.address, b"GET / HTTP/1.1\r\n\r\n").await;
    // A password length that the frame can't hold.
    let mut frame = BytesMut::new();
    frame.put_i32(28);
    frame.put_bytes(0, 24);
    frame.put_i32(i32::MAX);
    expect_dropped(node.address, &frame).await;
    node.stop().await;
}

#[tokio::test]
async fn frames_without_a_header_end_the_connection() {
    let node = node().await;
    for bytes in [&[0, 0, 0, 0][..], &[0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7]] {
        let mut client = node.client().await;
        client.stream.write_all(bytes).await.expect("a write");
        client.expect_end().await;
    }
    node.stop().await;
}

#[tokio::test]
async fn every_operation_answers_every_truncation_and_lie_with_an_error() {
    let node = node().await;
    let mut client = node.client().await;
    let mut xid = 0;
    for op in [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 101, 105, 106] {
        for body in [
            &[][..],
            &[0, 0],
            &[0x7f, 0xff, 0xff, 0xff],
            &[0x80, 0, 0, 0],
            &[0, 0, 0, 2, b'/'],
            &[0, 0, 0, 1, 0xff, 0, 0, 0, 0],
            // Null path, and counts that no frame could hold.
            &[0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        ] {
            xid += 1;
            client.send_raw(xid, op, body).await;
            let packet = client.packet().await;
            assert_eq!(packet.header.xid, xid);
            // Some of these are whole requests of some operations, for instance for the path "".
            if packet.header.err != 0 {
                assert!([-5, -8, -101, -114, -121].contains(&packet.header.err), "{op}: {packet:?}");
            }
        }
    }
    client.create("/fine", 0).await;
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_never_sends_is_let_go() {
    let node = node_with(|config, _| config.sessionless_timeout_ms = 50).await;
    // A client with a session may be silent for longer.
    let mut client = node.client().await;
    expect_dropped(node.address, &[]).await;
    expect_dropped(node.address, &[0, 0]).await;
    // Half a word is no word.
    expect_dropped(node.address, b"stmk\0\0").await;
    client.create("/fine", 0).await;
    node.stop().await;
}

#[tokio::test]
async fn connections_beyond_a_limit_are_closed_and_room_is_given_back() {
    let node = node_with(|config, _| config.max_client_cnxns = 2).await;
    let (one, two) = (node.client().await, node.client().await);
    expect_dropped(node.address, &[]).await;
    one.close().await;
    // The place is free once the server has seen the end of the connection.
    let mut three = loop {
        if let Some(client) = Client::connect_with(node.address, &crate::harness::connect_request()).await {
            break client;
        }
    };
    three.create("/fine", 0).await;
    drop(two);
    node.stop().await;

    let node = node_with(|config, _| config.max_cnxns = 1).await;
    let client = node.client().await;
    expect_dropped(node.address, &[]).await;
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_slow_reader_is_not_read_any_further_and_loses_nothing() {
    const READS: usize = 400;
    let node = node().await;
    let mut slow = node.client().await;
    let data: &'static [u8] = vec![7; 500_000].leak();
    slow.call(create("/big", data, 0)).await.expect_ok();
    for _ in 0..READS {
        slow.send(&get_data("/big", false)).await;
    }
    // Meanwhile others are served, and what waits for the slow one is bounded.
    let mut other = node.client().await;
    for round in 0..20 {
        other.create(&format!("/other-{round}"), 0).await;
    }
    for xid in 0..READS {
        let packet = slow.packet().await.expect_ok();
        assert_eq!(packet.header.xid, xid as i32 + 2);
        assert!(packet.body.len() > data.len());
    }
    slow.close().await;
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_events_is_closed() {
    let node = node().await;
    let mut deaf = node.client().await;
    // Long paths make events large.
    let name = "n".repeat(200_000);
    let path = format!("/{name}");
    deaf.call(add("/", 1)).await.expect_ok();
    let mut writer = node.client().await;
    writer.create(&path, 0).await;
    for _ in 0..200 {
        writer.set(&path, b"x").await;
    }
    while node.running.ensemble().status().watches > 0 {
        writer.set(&path, b"x").await;
    }
    writer.close().await;
    node.stop().await;
}

#[tokio::test]
async fn more_requests_than_may_be_in_flight_are_all_answered() {
    let node = node_with(|config, _| config.global_outstanding_limit = 10).await;
    let mut clients = vec![node.client().await, node.client().await, node.client().await];
    clients[0].create("/n", 0).await;
    for client in &mut clients {
        for _ in 0..500 {
            client.send(&set_data("/n", b"x", -1)).await;
            client.send(&get_data("/n", false)).await;
        }
    }
    for client in &mut clients {
        for _ in 0..1000 {
            client.packet().await.expect_ok();
        }
    }
    assert_eq!(clients[0].stat("/n").await.version, 1500);
    node.stop().await;
}

#[tokio::test]
async fn requests_in_crumbs_are_put_together() {
    let node = node().await;
    let mut client = node.client().await;
    let mut frame = BytesMut::new();
    jute::put_frame(&mut frame, |out| {
        out.put_i32(9);
        out.put_i32(Request::Ping.op_code().code());
    });
    for byte in &frame {
        client.stream.write_all(&[*byte]).await.expect("a write");
        client.stream.flush().await.expect("a flush");
    }
    assert_eq!(client.packet().await.header.xid, -2);
    node.stop().await;
}

#[tokio::test]
async fn idle_connections_are_cheap_and_the_rest_is_served() {
    // Ten thousand are tried by the bench; here as many as the usual limit of file descriptors has room for, both ends counted.
    const IDLE: usize = 300;
    let node = node_with(|config, _| config.max_client_cnxns = 0).await;
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(node.client().await);
    }
    assert_eq!(node.door.connection_count(), IDLE);
    let mut client = node.client().await;
    client.create("/fine", 0).await;
    for client in &mut idle {
        client.stat("/fine").await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_vanishes_in_the_middle_of_a_frame_harms_nobody() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/n", 0).await;
    for _ in 0..50 {
        let mut victim = node.client().await;
        for _ in 0..20 {
            victim.send(&set_data("/n", b"x", -1)).await;
        }
        victim.stream.write_all(&[0, 0, 1, 0, 5]).await.expect("a write");
        drop(victim);
    }
    client.stat("/n").await;
    let mut stream = TcpStream::connect(node.address).await.expect("a connection");
    stream.write_all(&[0, 0, 0, 44, 0]).await.expect("a write");
    stream.shutdown().await.expect("a half-close");
    assert!(read_frame(&mut stream).await.is_none());
    node.stop().await;
}

#[tokio::test]
async fn noise_behind_any_opcode_is_answered_or_ends_that_connection_only() {
    let node = node_with(|config, ensemble| {
        config.max_client_cnxns = 0;
        ensemble.tree.extended_types = true;
    })
    .await;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let ops = [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 100, 101, 102, 103, 104, 105,
        106, 107, -11,
    ];
    let mut client = node.client().await;
    for xid in 1..3000 {
        let op = ops[random(ops.len() as u64) as usize];
        // Small numbers make lengths and counts that often fit.
        let body: Vec<u8> = (0..random(40))
            .map(|index| {
                if index % 4 == 3 {
                    random(8) as u8
                } else if random(20) == 0 {
                    random(256) as u8
                } else {
                    0
                }
            })
            .collect();
        client.send_raw(xid, op, &body).await;
        loop {
            match client.next().await {
                None => break client = node.client().await,
                Some(packet) if packet.header.xid == jute::xid::WATCH_EVENT => {}
                Some(_) => break,
            }
        }
    }
    node.client().await.create("/fine", 0).await;
    node.stop().await;
}
